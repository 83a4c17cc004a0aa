# SPDX-License-Identifier: GPL-3.0-or-later
"""What must follow a change does not depend on the run that made it, which may be interrupted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from role_values import ROOT

ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
FILES = sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/vars/*.yml")])
CHANGED = re.compile(r"\bis (not )?changed\b|changed_paths")
ELSEWHERE = {
    ("apptainer", "__apptainer_suite_changed"): "the next run sees that apt's lists are older",
    ("gpu", "__gpu_driver_installed"): "without it the file's own first run follows",
    ("gpu", "__gpu_repository"): "kept for check mode",
    ("gpu", "__gpu_components"): "kept for check mode",
}
"""Role and variable of a change that something follows in this run, and why that is no harm."""


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_roles_have_no_handlers(role: Path) -> None:
    """A handler is notified by the run that changes something, and by no other."""
    assert not (role / "handlers").exists()
    for path in role.glob("tasks/*.yml"):
        assert "notify:" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_nothing_follows_a_change_of_this_run_alone(path: Path) -> None:
    """But for predictions, in check mode."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not CHANGED.search(line) or "ansible_check_mode" in line:
            continue
        known = [name for role, name in ELSEWHERE if role == path.parts[-3] and name in line]
        assert known, f"{path}: {line.strip()}"
