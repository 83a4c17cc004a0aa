# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs are started with what they are given and nothing of ours."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system.child import start
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import StopSignals

ENVIRON = {"PATH": os.environ["PATH"]}
CORE = str(Path(__file__).resolve().parents[3] / "plugins/module_utils")


def said(*argv: str, environ: dict[str, str] | None = None, **how: Any) -> str:
    child = start(argv, ENVIRON if environ is None else environ, **how)
    try:
        with open(child.stdout, closefd=False) as stream:
            text = stream.read()
        assert child.wait()
        assert child.returncode == 0
    finally:
        child.close()
    return text


def test_it_gets_no_descriptor_of_ours_not_even_one_that_was_left_to_us(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(descriptor, True)
    try:
        # the last one is the listing's own
        assert said("ls", "-1", "/proc/self/fd").split() == ["0", "1", "2", "3"]
    finally:
        os.close(descriptor)


def test_it_leads_a_session_of_its_own() -> None:
    child = start(("sleep", "60"), ENVIRON)
    try:
        assert os.getsid(child.pid) == child.pid == os.getpgid(child.pid)
        assert not child.wait(0.02)
        child.signal_group(signal.SIGTERM)
        assert child.wait()
        assert child.returncode == -signal.SIGTERM
        child.signal_group(signal.SIGTERM)  # of one that has ended: nobody's
    finally:
        child.close()


def test_signals_that_python_ignores_end_it() -> None:
    (line,) = [line for line in said("cat", "/proc/self/status").splitlines() if "SigIgn" in line]
    ignored = int(line.split()[1], 16)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        assert signal.getsignal(number) == signal.SIG_IGN
        assert not ignored & 1 << number - 1


def test_ctrl_z_suspends_it_though_it_does_not_suspend_us() -> None:
    with StopSignals():
        line = said("sh", "-c", "grep SigIgn /proc/$$/status")
    assert not int(line.split()[1], 16) & 1 << signal.SIGTSTP - 1


def test_how_it_ends_is_known_also_to_a_caller_that_ignores_the_ends_of_children() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        child = start(("sh", "-c", "exit 3"), ENVIRON)
        assert (child.wait(), child.returncode) == (True, 3)
        child.close()
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_it_is_found_on_the_path_that_it_is_given(tmp_path: Path) -> None:
    for name, mode in (("a", 0o644), ("b", 0o755), ("c", 0o755)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text(f"#!/bin/sh\necho {name}\n")
        (tmp_path / name / "tool").chmod(mode)
    (tmp_path / "d/tool").mkdir(parents=True)
    path = ":".join(str(tmp_path / name) for name in ("none", "d", "a", "b", "c"))
    assert said("tool", environ={"PATH": path}) == "b\n"
    with pytest.raises(FileNotFoundError):
        start(("tool",), {"PATH": str(tmp_path)})


def test_it_starts_where_it_is_told_and_we_stay_where_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said("pwd") == f"{tmp_path}\n"
    assert said("pwd", directory="/") == "/\n"
    assert os.getcwd() == str(tmp_path)
    # though it is found below where we are
    (tmp_path / "here").symlink_to("/bin/pwd")
    assert said("here", environ={"PATH": ":/bin"}, directory="/") == "/\n"


def test_standard_input_is_empty_or_a_pipe() -> None:
    assert said("cat") == ""
    child = start(("cat",), ENVIRON, told=True)
    try:
        child.tell("a\udcffb")
        assert os.read(child.stdout, 10) == b"a\xffb"
    finally:
        child.wait()
        child.close()


def test_what_nobody_hears_goes_nowhere() -> None:
    child = start(("sh", "-c", "seq 1 100000; test -c /dev/fd/1"), ENVIRON, heard=False)
    assert (child.stdout, child.stderr, child.wait(), child.returncode) == (-1, -1, True, 0)


def test_pipes_are_private_to_both_ends() -> None:
    child = start(("sleep", "60"), ENVIRON, told=True)
    try:
        for descriptor in (child.stdin, child.stdout, child.stderr):
            assert stat.S_ISFIFO(os.fstat(descriptor).st_mode)
            assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert os.read(child.stdout, 1) == b""  # no other end is left with us
    finally:
        child.close()


def test_a_caller_without_standard_descriptors_is_served_too() -> None:
    program = (
        f"import os, sys; sys.path.insert(0, {CORE!r}); from ces.system.child import start\n"
        "kept = os.dup(1); os.closerange(0, 3)\n"
        "child = start(('sh', '-c', 'cat; echo out; echo err >&2'), dict(os.environ), told=True)\n"
        "child.tell('in'); child.wait()\n"
        "os.write(kept, os.read(child.stdout, 99) + b'|' + os.read(child.stderr, 99))\n"
    )
    done = subprocess.run([sys.executable, "-ISBc", program], capture_output=True, check=True)
    assert done.stdout == b"inout\n|err\n"
