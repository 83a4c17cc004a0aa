# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes: what they are given, where their output goes, and how they are stopped."""

from __future__ import annotations

import os
import shlex
import signal
import stat
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import eventually, is_gone

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system import process as module
from ansible_collections.tre.ces.plugins.module_utils.ces.system.child import Child
from ansible_collections.tre.ces.plugins.module_utils.ces.system.proc import kill_recorded
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import (
    TAIL,
    Finished,
    Streams,
    SystemProcess,
    last_lines,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import (
    STOP_SIGNALS,
    StopSignals,
    exit_status,
    stop_signal,
)


def sh(script: str, **more: Any) -> Command:
    return Command(("/bin/sh", "-c", script), **more)


@pytest.fixture(autouse=True)
def _signals_are_heard() -> Iterator[None]:
    """What runs in the background of a script or under nohup has signals ignored, and so do we."""
    numbers = (*STOP_SIGNALS, signal.SIGTSTP)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def process() -> SystemProcess:
    return SystemProcess()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of a fraction of a second, so that the tests need none."""
    monkeypatch.setattr(module, "_AFTER_EXIT", 0.1)
    monkeypatch.setattr(module, "_AFTER_STOP", 0.2)


@pytest.fixture(params=["pidfd", "no pidfd"])
def exit_watch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without the kernel's help."""
    if request.param == "no pidfd":
        monkeypatch.delattr(os, "pidfd_open")


# --- what a command is given, and what comes back ---


@pytest.mark.parametrize(
    ("script", "rc"),
    [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)],
)
def test_the_exit_status_is_the_programs_own_or_128_and_its_signal(
    process: SystemProcess, exit_watch: None, script: str, rc: int
) -> None:
    finished = process.run(sh(script))
    assert (finished.rc, finished.ok, finished.stopped_by) == (rc, rc == 0, "")


def test_outputs_are_kept_apart_and_both_go_to_a_private_log(
    process: SystemProcess, tmp_path: Path
) -> None:
    log = tmp_path / "output.log"
    finished = process.run(sh("echo out; echo err >&2"), Streams(log=str(log)))
    assert (finished.stdout, finished.stderr) == ("out\n", "err\n")
    assert sorted(log.read_text().splitlines()) == ["err", "out"]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_log_is_added_to(process: SystemProcess, tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    for word in ("one", "two"):
        process.run(sh(f"echo {word}"), Streams(log=str(log)))
    assert log.read_text() == "one\ntwo\n"


def test_standard_input_is_the_text_given_or_empty(process: SystemProcess) -> None:
    assert process.run(Command(("cat",), stdin="p\u00e4ss\n$x")).stdout == "p\u00e4ss\n$x"
    assert process.run(Command(("cat",))).stdout == ""
    assert process.run(Command(("true",), stdin="x" * 1_000_000)).ok


def test_the_environment_is_the_one_given_and_what_the_command_adds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OURS", "1")
    command = Command(("/usr/bin/env",), env={"B": "3"})
    process = SystemProcess({"A": "1", "B": "2"})
    assert process.run(command).stdout.split() == ["A=1", "B=3"]
    assert process.run(replace(command, without=("A", "C"))).stdout.split() == ["B=3"]
    assert "OURS=1" in SystemProcess().run(command).stdout.split()


def test_no_shell_reads_the_words(process: SystemProcess) -> None:
    words = ("$HOME", "`id`", "a b", "*", "")
    finished = process.run(Command(("printf", "%s|", *words)))
    assert finished.stdout == "$HOME|`id`|a b|*||"


def test_bytes_that_are_no_text_do_no_harm(process: SystemProcess) -> None:
    assert process.run(sh("printf 'a\\377b'")).stdout == "a\ufffdb"


def test_a_program_that_is_not_there_is_an_error_with_the_role_that_brings_it(
    process: SystemProcess,
) -> None:
    with pytest.raises(CesError) as caught:
        process.run(Command(("no-such-engine", "run")))
    assert "could not run no-such-engine: no-such-engine is not installed on this host" in str(
        caught.value
    )
    assert caught.value.as_result()["cmd"] == ["no-such-engine", "run"]


def test_a_program_that_cannot_be_run_is_an_error(process: SystemProcess, tmp_path: Path) -> None:
    with pytest.raises(CesError, match="could not run"):
        process.run(Command((str(tmp_path),)))


def test_check_passes_on_success_and_says_what_the_tool_answered_on_failure() -> None:
    good = Finished(("x",), 0)
    assert good.check("do it") is good
    bad = Finished(("x", "y"), 5, "out", "a\n\nError: b\n")
    with pytest.raises(CesError) as caught:
        bad.check("do it", "try again")
    assert str(caught.value) == "could not do it: a; Error: b. try again"
    assert caught.value.as_result() == {
        "msg": str(caught.value),
        "cmd": ["x", "y"],
        "rc": 5,
        "stdout": "out",
        "stderr": "a\n\nError: b\n",
    }


@pytest.mark.parametrize(
    ("finished", "said"),
    [
        (Finished(("x",), 5), "x exited with 5"),
        (Finished(("x",), 5, "only this\n"), "only this"),
        (Finished(("x",), 5, "", "1\n2\n3\n4\n5\n"), "2; 3; 4; 5"),
    ],
)
def test_a_failure_is_told_by_the_last_lines_or_the_exit_status(
    finished: Finished, said: str
) -> None:
    with pytest.raises(CesError) as caught:
        finished.check("do it")
    assert caught.value.said == said


def test_last_lines_passes_over_blank_ones() -> None:
    assert last_lines(" a \n\n \nb\n", 1) == "b"
    assert last_lines("") == ""


# --- output ---


def test_output_reaches_the_log_while_the_program_still_runs(
    process: SystemProcess, tmp_path: Path
) -> None:
    log, seen = tmp_path / "log", tmp_path / "seen"
    script = f"echo first; while [ ! -e {seen} ]; do sleep 0.01; done; echo second"

    def reader() -> None:
        eventually(lambda: log.exists() and log.read_text() == "first\n")
        seen.touch()

    watching = threading.Thread(target=reader)
    watching.start()
    finished = process.run(sh(script), Streams(log=str(log), timeout=10))
    watching.join()
    assert (finished.stdout, finished.stopped_by) == ("first\nsecond\n", "")


def test_tails_are_the_last_64_kib_and_the_log_is_whole(
    process: SystemProcess, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    finished = process.run(sh("seq 1 60000"), Streams(log=str(log)))
    whole = "".join(f"{number}\n" for number in range(1, 60001))
    assert log.read_text() == whole
    assert finished.stdout == whole[-TAIL:]
    assert process.run(sh("seq 1 60000"), Streams(keep=10)).stdout == whole[-10:]
    assert process.run(sh("seq 1 60000"), Streams(keep=10**6)).stdout == whole


def test_fifty_megabytes_of_output_are_not_held_in_memory(
    process: SystemProcess, tmp_path: Path
) -> None:
    log, size = tmp_path / "log", 50 * 1024 * 1024
    tracemalloc.start()
    try:
        finished = process.run(sh(f"head -c {size} /dev/zero"), Streams(log=str(log)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (finished.rc, log.stat().st_size) == (0, size)
    assert peak < 2 * 1024 * 1024


def test_a_full_disk_cuts_the_log_short_and_not_the_run(process: SystemProcess) -> None:
    finished = process.run(sh("echo a; sleep 0.1; echo b; exit 3"), Streams(log="/dev/full"))
    assert (finished.rc, finished.stdout) == (3, "a\nb\n")
    assert finished.log_error == "the log is cut short: No space left on device"


def test_a_log_that_is_a_link_is_not_written(process: SystemProcess, tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CesError, match="write the log"):
        process.run(sh("echo a"), Streams(log=str(tmp_path / "log")))
    assert not (tmp_path / "elsewhere").exists()


def test_output_is_echoed_to_our_own_outputs_when_asked_for(
    process: SystemProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    process.run(sh("echo out; echo err >&2"), Streams(echo=True))
    assert capfd.readouterr() == ("out\n", "err\n")
    process.run(sh("echo out"))
    assert capfd.readouterr() == ("", "")


def test_a_reader_that_goes_away_does_not_end_the_run(
    process: SystemProcess, tmp_path: Path
) -> None:
    log, kept = tmp_path / "log", os.dup(1)
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)
    try:
        finished = process.run(sh("echo a; sleep 0.05; echo b"), Streams(log=str(log), echo=True))
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(writing)
    assert (finished.rc, log.read_text()) == (0, "a\nb\n")


def test_no_descriptor_and_no_child_is_left(process: SystemProcess, tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    process.run(sh("echo a"), Streams(log=str(tmp_path / "log"), timeout=5, stop=sh("true")))
    with pytest.raises(CesError):
        process.run(Command(("no-such-engine",)))
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


# --- being stopped ---


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


# --- what a killed process of ours leaves running ---


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


# --- signals to ourselves ---


def _signal_when(there: Path, number: int | signal.Signals) -> threading.Thread:
    """Send ourselves a signal as soon as a file is there."""

    def sender() -> None:
        eventually(there.exists, 30)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=sender)
    thread.start()
    return thread


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=STOP_SIGNALS.get)
def test_a_stop_signal_stops_what_may_be_interrupted(
    process: SystemProcess, tmp_path: Path, number: int
) -> None:
    begun = tmp_path / "begun"
    with StopSignals() as process.signals:
        thread = _signal_when(begun, number)
        streams = Streams(interruptible=True, timeout=10)
        finished = process.run(sh(f"touch {begun}; exec sleep 60"), streams)
        thread.join()
        received = process.signals.received
    assert (finished.rc, finished.stopped_by, received) == (
        143,
        STOP_SIGNALS[number],
        STOP_SIGNALS[number],
    )


def passing_on(
    process: SystemProcess, script: str, number: int | signal.Signals = signal.SIGUSR1, **how: Any
) -> Finished:
    """Run a script that makes the file ``begun``; the signal comes then."""
    begun = how.pop("begun")
    with StopSignals() as process.signals:
        thread = _signal_when(begun, number)
        finished = process.run(sh(script), Streams(interruptible=True, timeout=60, **how))
        thread.join()
    return finished


@pytest.mark.parametrize(
    "number",
    [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGABRT, signal.SIGXCPU, 64],
)
def test_a_signal_that_is_no_request_to_stop_goes_to_the_program(
    process: SystemProcess, tmp_path: Path, number: int | signal.Signals
) -> None:
    begun = tmp_path / "begun"
    script = (
        f"trap 'echo got it; exit 4' {int(number)}; touch {begun}; while :; do sleep 0.05; done"
    )
    finished = passing_on(process, script, number, begun=begun)
    assert (finished.rc, finished.stdout, finished.stopped_by) == (4, "got it\n", "")


def test_a_program_that_does_not_wait_for_the_signal_is_not_ended_by_it(
    process: SystemProcess, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    finished = passing_on(process, f"touch {begun}; sleep 0.3; echo done", begun=begun)
    assert (finished.rc, finished.stdout) == (0, "done\n")


def test_a_signal_that_comes_while_the_program_starts_is_passed_on(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    class Slow(SystemProcess):
        def _start(self, command: Command, heard: bool = True) -> Child:
            child = super()._start(command, heard)
            eventually(begun.exists, 30)
            os.kill(os.getpid(), signal.SIGUSR1)
            return child

    script = f"trap 'echo got it; exit 4' USR1; touch {begun}; while :; do sleep 0.05; done"
    process = Slow()
    with StopSignals() as process.signals:
        finished = process.run(sh(script), Streams(interruptible=True, timeout=30))
    assert (finished.rc, finished.stdout, finished.stopped_by) == (4, "got it\n", "")


def test_a_program_that_cannot_be_noted_does_not_stay(
    process: SystemProcess, tmp_path: Path
) -> None:
    named = tmp_path / "pid"
    script = f"echo $$ >{named}.new; mv {named}.new {named}; exec sleep 60"

    class Watched(SystemProcess):
        def _start(self, command: Command, heard: bool = True) -> Child:
            child = super()._start(command, heard)
            eventually(named.exists, 30)
            return child

    with pytest.raises(CesError, match="nowhere"):
        Watched().run(sh(script), Streams(pid_file=f"{tmp_path}/nowhere/pid"))
    assert is_gone(int(named.read_text()))


BLOCKS = """
import pathlib, signal, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
pathlib.Path(sys.argv[1]).touch()
"""
WORKS_ON = """
until = time.monotonic() + 0.3
while time.monotonic() < until:
    pass
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
print("done")
"""
WAITS = """
while signal.SIGUSR1 not in signal.sigpending():
    time.sleep(0.05)
print("pending")
"""


@pytest.mark.parametrize(("then", "said"), [(WORKS_ON, "done\n"), (WAITS, "pending\n")])
def test_a_signal_that_is_blocked_is_for_a_program_that_waits(
    process: SystemProcess, tmp_path: Path, then: str, said: str
) -> None:
    """A shell blocks every signal for an instant when it starts a program."""
    program = [sys.executable, "-c", BLOCKS + then, str(tmp_path / "begun")]
    finished = passing_on(process, f"exec {shlex.join(program)}", begun=tmp_path / "begun")
    assert (finished.rc, finished.stdout) == (0, said)


def test_a_signal_is_passed_on_by_the_command_for_that_and_alone(
    process: SystemProcess, tmp_path: Path
) -> None:
    begun, told = tmp_path / "begun", tmp_path / "told"
    script = f"trap '' USR1; touch {begun}; while [ ! -e {told} ]; do sleep 0.05; done"

    def kill(number: int) -> Command:
        return sh(f"echo {number} > {told}.new; mv {told}.new {told}")

    finished = passing_on(process, script, begun=begun, kill=kill)
    assert (finished.rc, told.read_text()) == (0, f"{int(signal.SIGUSR1)}\n")


def test_signals_that_come_while_one_is_passed_on_are_passed_on_once_each(
    process: SystemProcess, tmp_path: Path
) -> None:
    begun, told, go = tmp_path / "begun", tmp_path / "told", tmp_path / "go"
    script = f"touch {begun}; until grep -qs 12 {told}; do sleep 0.05; done"
    wait = f"until [ -e {go} ]; do sleep 0.05; done"

    def kill(number: int) -> Command:
        return sh(f"echo {number} >> {told}; {wait}")

    def sender() -> None:
        eventually(begun.exists, 30)
        os.kill(os.getpid(), signal.SIGALRM)
        eventually(told.exists, 30)
        for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        go.touch()

    with StopSignals() as process.signals:
        thread = threading.Thread(target=sender)
        thread.start()
        finished = process.run(sh(script), Streams(interruptible=True, timeout=60, kill=kill))
        thread.join()
    assert finished.stopped_by == ""
    assert told.read_text().split() == ["14", "10", "12"]


def test_a_signal_that_came_before_the_program_is_not_for_it(process: SystemProcess) -> None:
    with StopSignals() as process.signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        streams = Streams(interruptible=True, kill=lambda number: sh(f"kill -{number} $PPID"))
        finished = process.run(sh("exit 3"), streams)
        assert process.signals.take_other() == 0
    assert finished.rc == 3


def test_a_time_that_is_over_ends_the_program_though_somebody_pressed_ctrl_z(
    process: SystemProcess, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    with StopSignals() as process.signals:
        thread = _signal_when(begun, signal.SIGTSTP)
        streams = Streams(interruptible=True, timeout=0.5)
        finished = process.run(sh(f"touch {begun}; exec sleep 60"), streams)
        thread.join()
    assert finished.stopped_by == "timeout"


def test_a_stop_signal_does_not_stop_cleaning_up_but_is_noted(
    process: SystemProcess, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    with StopSignals() as process.signals:
        thread = _signal_when(begun, signal.SIGTERM)
        finished = process.run(sh(f"touch {begun}; sleep 0.2; exit 5"))
        thread.join()
        assert process.signals.received == "SIGTERM"
    assert (finished.rc, finished.stopped_by) == (5, "")


def test_a_signal_that_came_before_the_program_stops_it_at_once(process: SystemProcess) -> None:
    with StopSignals() as process.signals:
        os.kill(os.getpid(), signal.SIGTERM)
        finished = process.run(Command(("sleep", "60")), Streams(interruptible=True))
    assert (finished.rc, finished.stopped_by) == (143, "SIGTERM")


def test_the_first_signal_is_the_reason() -> None:
    with StopSignals() as signals:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert signals.received == "SIGHUP"


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.received == ""
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_after_the_block_everything_is_as_before() -> None:
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    descriptors = os.listdir("/proc/self/fd")
    with StopSignals():
        pass
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert os.listdir("/proc/self/fd") == descriptors
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signals_exit_status_is_that_of_shells() -> None:
    names = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM")
    assert [exit_status(name) for name in names] == [129, 130, 131, 143]
