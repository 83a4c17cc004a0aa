# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of services."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from recording import BackEnd, make_backend

from ansible_collections.tre.ces.plugins.module_utils.ces.system import cdi, missing
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host import small_root


@pytest.fixture(autouse=True)
def other_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test may have a shell of its own: nobody has looked for its libraries."""
    monkeypatch.setattr(small_root, "_FILES", {})


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BackEnd:
    monkeypatch.setattr(cdi, "OWNERS", (0, os.geteuid()))
    # whatever is installed on the machine that runs the tests
    monkeypatch.setattr(missing, "PLACES", (str(tmp_path / "usual"),))
    return make_backend(tmp_path)
