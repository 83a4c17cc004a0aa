# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes: how they are stopped, and what a killed process of ours leaves running."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from real_process import sh
from support import eventually, is_gone

from ansible_collections.tre.ces.plugins.module_utils.ces.system import process as module
from ansible_collections.tre.ces.plugins.module_utils.ces.system.proc import (
    kill_named,
    kill_recorded,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import (
    Streams,
    SystemProcess,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import (
    stop_signal,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command


def test_of_a_processs_arguments_the_beginning_is_read() -> None:
    """A neighbour's may be without end."""
    word, much = f"word-{os.getpid()}", ["x" * 100_000] * 4
    words = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen([*words, word, *much], stdin=subprocess.PIPE) as found,
        subprocess.Popen([*words, *much, word], stdin=subprocess.PIPE) as passed_over,
    ):
        kill_named(word)
        assert found.wait(5) == -signal.SIGKILL
        assert passed_over.poll() is None
        passed_over.kill()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of a fraction of a second, so that the tests need none."""
    monkeypatch.setattr(module, "_AFTER_EXIT", 0.1)
    monkeypatch.setattr(module, "_AFTER_STOP", 0.2)


def test_what_a_watch_says_stops_the_program(process: SystemProcess, tmp_path: Path) -> None:
    script = f"echo much >{tmp_path}/file; exec sleep 60"
    watch = Streams(watch=lambda: "too much" if (tmp_path / "file").exists() else "")
    assert process.run(sh(script), watch).stopped_by == "too much"


def test_a_timeout_stops_the_program(process: SystemProcess, exit_watch: None) -> None:
    begun = time.monotonic()
    finished = process.run(Command(("sleep", "60")), Streams(timeout=0.1))
    assert (finished.rc, finished.stopped_by) == (143, "timeout")
    assert time.monotonic() - begun < 5


def test_a_program_that_ends_in_time_is_not_stopped(process: SystemProcess) -> None:
    finished = process.run(sh("echo a; exit 4"), Streams(timeout=60))
    assert (finished.rc, finished.stopped_by) == (4, "")


def test_another_signal_than_sigterm_stops_the_program_and_not_what_is_beside_it(
    process: SystemProcess,
) -> None:
    script = "trap 'kill $!; echo heard; exit 3' USR1; sleep 60 & while :; do wait $!; done"
    finished = process.run(sh(script), Streams(timeout=0.5, stop_signal=signal.SIGUSR1))
    assert (finished.stdout, finished.rc, finished.stopped_by) == ("heard\n", 3, "timeout")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGINT", signal.SIGINT),
        ("int", signal.SIGINT),
        ("2", signal.SIGINT),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        *((text, signal.SIGTERM) for text in ("", "SIGKILL", "9", "STOP", "0", "999", "NONE")),
        *((text, signal.SIGTERM) for text in ("_DFL", "SIGRTMIN+99", "+", "\u0663\u0669\u0669")),
    ],
)
def test_an_images_signal_is_known_by_name_and_number(
    text: str, number: int | signal.Signals
) -> None:
    assert stop_signal(text) == number


def test_its_children_are_stopped_with_it(process: SystemProcess) -> None:
    finished = process.run(sh("sleep 60 & echo $!; wait"), Streams(timeout=0.2))
    assert finished.stopped_by == "timeout"
    eventually(lambda: is_gone(int(finished.stdout)))


def test_a_program_that_will_not_stop_is_killed_after_the_grace(process: SystemProcess) -> None:
    script = "trap '' TERM; while :; do sleep 0.05; done"
    finished = process.run(sh(script), Streams(timeout=0.1, grace=0.2))
    assert (finished.rc, finished.stopped_by) == (137, "timeout")


def test_a_stop_command_is_run_instead_of_a_signal(process: SystemProcess, tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"while [ ! -e {told} ]; do sleep 0.02; done; echo stopped; exit 7"
    streams = Streams(timeout=0.1, stop=Command(("touch", str(told))))
    finished = process.run(sh(script), streams)
    assert (finished.rc, finished.stopped_by, finished.stdout) == (7, "timeout", "stopped\n")


def test_an_engine_that_outlives_its_stopped_container_is_killed(
    process: SystemProcess, brief: None
) -> None:
    finished = process.run(Command(("sleep", "60")), Streams(timeout=0.1, stop=Command(("true",))))
    assert (finished.rc, finished.stopped_by) == (137, "timeout")


def test_a_stop_command_that_hangs_does_not_hold_us_up(
    process: SystemProcess, brief: None, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    stop = sh(f"echo $$ > {pid}; exec sleep 60")
    begun = time.monotonic()
    finished = process.run(Command(("sleep", "60")), Streams(timeout=0.1, stop=stop, grace=0.3))
    assert (finished.rc, finished.stopped_by) == (137, "timeout")
    assert time.monotonic() - begun < 5
    assert is_gone(int(pid.read_text()))


def test_a_stop_command_that_says_much_does_not_hold_us_up(
    process: SystemProcess, brief: None
) -> None:
    begun = time.monotonic()
    stop = sh("seq 1 100000")
    finished = process.run(Command(("sleep", "60")), Streams(timeout=0.1, stop=stop, grace=60))
    assert finished.stopped_by == "timeout"
    assert time.monotonic() - begun < 5


def test_children_that_keep_the_outputs_open_are_not_waited_for(
    process: SystemProcess, brief: None, exit_watch: None
) -> None:
    begun = time.monotonic()
    finished = process.run(sh("sleep 60 & echo $!"))
    try:
        assert finished.rc == 0
        assert time.monotonic() - begun < 5
        assert not is_gone(int(finished.stdout))
    finally:
        os.kill(int(finished.stdout), signal.SIGKILL)


def test_a_program_that_has_ended_is_not_stopped_for_what_its_children_hold(
    process: SystemProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AFTER_EXIT", 0.5)
    finished = process.run(sh("sleep 60 & echo $!; exit 3"), Streams(timeout=0.2))
    try:
        assert (finished.rc, finished.stopped_by) == (3, "")
    finally:
        os.kill(int(finished.stdout), signal.SIGKILL)


def test_a_program_that_closes_its_outputs_is_still_waited_for(
    process: SystemProcess, exit_watch: None
) -> None:
    assert process.run(sh("exec >&- 2>&-; sleep 0.2; exit 6")).rc == 6


def test_a_recorded_process_is_killed_with_all_of_its_session(
    process: SystemProcess, tmp_path: Path
) -> None:
    pid_file, pids = tmp_path / "pid", tmp_path / "pids"
    # a helper that makes a process group of its own, as apptainer's do
    script = f"set -m; sleep 60 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait"

    def killer() -> None:
        # the program may write its file before we have written ours, or half of it
        eventually(lambda: pids.exists() and pid_file.exists())
        eventually(lambda: pid_file.read_text().endswith("\n"))
        assert stat.S_IMODE(pid_file.stat().st_mode) == 0o600
        kill_recorded(str(pid_file))

    killing = threading.Thread(target=killer)
    killing.start()
    finished = process.run(sh(script), Streams(timeout=10, pid_file=str(pid_file)))
    killing.join()
    assert (finished.rc, finished.stopped_by) == (137, "")
    for pid in pids.read_text().split():
        eventually(partial(is_gone, int(pid)))


@pytest.mark.parametrize("text", ["", "x", "1", "{pid} 1", "{pid}", "0 0", "-1 0", "x y", "1 2 3"])
def test_a_process_that_is_not_the_recorded_one_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text.format(pid=os.getpid()))
    kill_recorded(str(tmp_path / "pid"))
    kill_recorded(str(tmp_path / "none"))
