# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that PATH does not lead to: not installed, elsewhere, or not for this user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system import missing as module
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.missing import missing


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which programs usually are."""
    directory = tmp_path / "usual"
    directory.mkdir()
    monkeypatch.setattr(module, "PLACES", (str(directory),))
    return directory


def test_a_program_that_is_nowhere_is_not_installed(usual: Path) -> None:
    said = str(missing("use the runner podman", "podman", "/opt/a:/opt/b", "podman"))
    assert "could not use the runner podman: podman is not installed on this host" in said
    assert "(PATH is /opt/a:/opt/b)" in said
    assert "the administrator installs it (role podman)" in said


@pytest.mark.parametrize("path", ["/opt/a", ""])
def test_a_program_where_programs_are_is_installed_and_path_is_told(usual: Path, path: str) -> None:
    program = usual / "podman"
    program.touch(mode=0o755)
    said = str(missing("run podman", "podman", path))
    assert f"{program} is installed, and PATH ({path or 'empty'}) does not lead there" in said
    assert f"export PATH=$PATH:{usual}" in said
    assert "administrator" not in said


def test_a_program_that_may_not_be_executed_is_told_as_that(usual: Path) -> None:
    (usual / "podman").touch(mode=0o644)
    said = str(missing("run podman", "podman", "/opt/a"))
    assert f"you may not execute {usual}/podman" in said
    assert "the administrator lets you" in said


def test_a_directory_is_no_program(usual: Path) -> None:
    (usual / "podman").mkdir()
    environ = {"PATH": str(usual), "XDG_RUNTIME_DIR": str(usual.parent)}
    ada = Account("ada", os.geteuid(), str(usual.parent), (), environ)
    assert not ada.has_program("podman")
    assert "not installed" in str(ada.missing("use the runner podman", "podman", "podman"))
