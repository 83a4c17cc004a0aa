# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role runs with a user's rights ends, whatever the user does to it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from role_values import ROOT, evaluate, role_values

from ansible_collections.tre.ces.plugins.filter.bounded import SAID_MAX, bounded

COMMAND = "ansible.builtin.command"


def run(*words: str, **bounds: Any) -> subprocess.CompletedProcess[bytes]:
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


def test_no_role_runs_a_module_as_a_user() -> None:
    """The user could have the module say what Ansible believes of the host, as facts."""
    tasks = [
        (path, task)
        for path in sorted(ROOT.glob("roles/*/*/*.yml"))
        if path.parent.name in ("tasks", "handlers")
        for task in tasks_in(yaml.safe_load(path.read_text(encoding="utf-8")))
    ]
    assert len(tasks) > 100
    assert [(path.name, task["name"]) for path, task in tasks if "become_user" in task] == []
    programs = [task[COMMAND] for _path, task in tasks if "user=item" in str(task.get(COMMAND))]
    assert len(programs) >= 2
    assert all("tre.ces.bounded" in program["argv"] for program in programs)


def as_nobody(*words: str, **bounds: Any) -> subprocess.CompletedProcess[str]:
    nobody = pwd.getpwnam("nobody")
    user = {"name": "nobody", "uid": nobody.pw_uid, "gid": nobody.pw_gid, "home": nobody.pw_dir}
    argv = bounded(words, user=user, **bounds)
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@root_only
def test_a_program_runs_as_the_user_in_an_environment_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of-root")
    nobody = pwd.getpwnam("nobody")
    done = as_nobody("sh", "-c", "id -u; id -G; env")
    uid, groups, *environment = done.stdout.splitlines()
    assert (uid, groups) == (str(nobody.pw_uid), str(nobody.pw_gid))
    assert f"XDG_RUNTIME_DIR=/run/user/{nobody.pw_uid}" in environment
    assert "PYTHONPATH" not in done.stdout


@root_only
def test_a_users_program_gives_its_words_and_its_status() -> None:
    done = as_nobody("sh", "-c", "echo said; echo complained >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("said\ncomplained\n", "", 7)
    assert as_nobody("sh", "-c", "trap '' TERM; sleep 60; sleep 60", seconds=1).returncode == 137


@root_only
@pytest.mark.parametrize("left", ["yes", "sleep 60"])
def test_of_a_user_who_keeps_the_output_no_more_is_heard(left: str) -> None:
    """Ansible reads to the end, whoever writes: a process that the user left, or put there."""
    begin = time.monotonic()
    done = as_nobody("sh", "-c", f"timeout 20 setsid {left} & sleep 1")
    assert time.monotonic() - begin < 10
    assert done.returncode == 0
    assert len(done.stdout) <= SAID_MAX


@root_only
def test_a_users_program_has_no_terminal_of_roots() -> None:
    """Where Ansible has one: who has it can type there."""
    ours, theirs = os.openpty()
    nobody = pwd.getpwnam("nobody")
    user = {"name": "nobody", "uid": nobody.pw_uid, "gid": nobody.pw_gid, "home": nobody.pw_dir}
    words = bounded(("sh", "-c", "exec 3</dev/tty; readlink /proc/self/fd/0"), user=user)
    script = "import os,sys,fcntl; fcntl.ioctl(0, 0x540E, 0); os.execvp(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        stdin=theirs,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        start_new_session=True,
        timeout=30,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode != 0
    assert "/dev/tty" in done.stdout


def test_roles_find_the_filter() -> None:
    words = evaluate(role_values("oci"), "['true'] | tre.ces.bounded(5)")
    assert words[-4:] == ["timeout", "--kill-after=5", "5", "true"]
