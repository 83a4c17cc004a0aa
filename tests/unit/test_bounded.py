# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role runs with a user's rights ends, whatever the user does to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from role_values import ROOT, evaluate, role_values

from ansible_collections.tre.ces.plugins.filter.bounded import bounded

COMMAND = "ansible.builtin.command"


def run(*words: str, **bounds: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(bounded(words, **bounds), capture_output=True, check=False)


def test_a_program_that_does_not_end_is_ended() -> None:
    assert run("sleep", "60", seconds=1).returncode == 124


def test_a_program_writes_files_of_a_size_at_most(tmp_path: Path) -> None:
    file = tmp_path / "file"
    words = ("dd", "if=/dev/zero", f"of={file}", "bs=1000", "count=3")
    assert run(*words, file_size=2000).returncode != 0
    assert file.stat().st_size == 2000
    assert run(*words).returncode == 0


def test_a_program_within_bounds_gives_its_output_and_status() -> None:
    done = run("sh", "-c", "echo said; exit 7")
    assert (done.stdout, done.returncode) == (b"said\n", 7)


def tasks_in(found: Any) -> Iterator[dict[str, Any]]:
    for task in found or []:
        yield task
        yield from tasks_in(task.get("block"))


def tasks_as_users() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(ROOT.glob("roles/*/tasks/*.yml")):
        for task in tasks_in(yaml.safe_load(path.read_text(encoding="utf-8"))):
            if "become_user" in task:
                yield os.path.relpath(path, ROOT), task


def test_every_role_bounds_what_it_runs_with_a_users_rights() -> None:
    """The program by itself, and the task: a user can stop the program that bounds the other."""
    tasks = list(tasks_as_users())
    assert len(tasks) >= 2
    for path, task in tasks:
        assert task.get("timeout"), f"{path}: {task['name']} has no timeout"
        if COMMAND in task:
            words = task[COMMAND]["argv"]
            assert "tre.ces.bounded" in words, f"{path}: {task['name']}: {words}"


def test_roles_find_the_filter() -> None:
    words = evaluate(role_values("oci"), "['true'] | tre.ces.bounded(5)")
    assert words[-4:] == ["timeout", "--kill-after=5", "5", "true"]
