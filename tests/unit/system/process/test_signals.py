# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes: signals to ourselves, which stop them or are passed on."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from real_process import sh
from support import eventually, is_gone

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system.child import Child
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import (
    Finished,
    Streams,
    SystemProcess,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import (
    STOP_SIGNALS,
    StopSignals,
    exit_status,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command


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
