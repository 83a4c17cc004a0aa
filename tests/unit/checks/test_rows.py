# SPDX-License-Identifier: GPL-3.0-or-later
"""Each row of each table of checks has a test, in the file of tests of its subject."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.look import Look

ROOT = Path(__file__).resolve().parents[3]
CORE = "ansible_collections.tre.ces.plugins.module_utils.ces.checks"
ELSEWHERE = {"canary": "services/test_canary.py", "jobs": "services/test_job_canary.py"}
"""Tests of checks whose facts are made by a service alone."""


def rows() -> Iterator[tuple[str, str]]:
    """The file of each table, and the name of each of its rows."""
    for path in sorted((ROOT / "plugins/module_utils/ces/checks").glob("*.py")):
        for value in vars(importlib.import_module(f"{CORE}.{path.stem}")).values():
            if isinstance(value, tuple):
                yield from ((path.stem, row.name) for row in value if isinstance(row, Look))


@pytest.mark.parametrize(("subject", "name"), sorted(set(rows())))
def test_a_check_has_a_test(subject: str, name: str) -> None:
    tests = ROOT / "tests/unit" / ELSEWHERE.get(subject, f"checks/test_{subject}.py")
    # some leave the subject out of the name
    spellings = (f'"{name}"', f'"{name.removeprefix(f"{subject}_")}"')
    assert any(one in tests.read_text(encoding="utf-8") for one in spellings)
