# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes: what they are given, what comes back, and where their output goes."""

from __future__ import annotations

import os
import stat
import threading
import tracemalloc
from pathlib import Path

import pytest
from real_process import sh
from support import eventually

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import (
    TAIL,
    Finished,
    Streams,
    SystemProcess,
    last_lines,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command


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
