# SPDX-License-Identifier: GPL-3.0-or-later
"""What testbed/run-all makes of its targets; a Makefile of ours stands in for the real one."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import eventually, is_gone

TESTBED = Path(__file__).resolve().parents[2] / "testbed"
# as molecule colours it
LINE = "\033[3%dm%-8s\033[0m \033[32m%s\033[0m ➜ \033[33m%s\033[0m: \033[36m%s\033[0m"
SAYS = {
    "good": [
        ("destroy", 0, "Successful"),
        ("verify", 1, "Successful"),
        ("destroy", 0, "Successful"),
    ],
    "bad": [("check", 0, "Successful"), ("converge", 0, "Failed")],
    "cut": [("verify", 0, "")],
}
# Before and between them come lines that say nothing of a failure.
FAILURES = {
    "bad": [
        "failed=0 of 3",
        *(
            f"\033[31mFAILED tests/test_it.py::test_{number} - assert 1 == 2\033[0m"
            for number in range(9)
        ),
        "9 failed in 3.14s",
    ]
}


def script(target: str) -> str:
    """What molecule says in a scenario, and how long it takes for each step."""
    lines = []
    for step, seconds, verdict in SAYS[target]:
        lines += [LINE % (6, "INFO", target, step, "Executing"), f"sleep {seconds}"]
        lines += [f"Executing Testinfra tests found in {target}"] if step == "verify" else []
        lines += [LINE % (1, "ERROR", target, step, f"Executed: {verdict}")] if verdict else []
    lines += FAILURES.get(target, [])
    words = (line if line.startswith("sleep") else f"echo '{line}'" for line in lines)
    return "; ".join(words)


MAKEFILE = f"""
SHELL := /bin/bash
good: ; @{script("good")}
bad: ; @{script("bad")}; false
cut: ; @{script("cut")}; false
quick: ; @printf 'no line end'
slow: ; @echo $$$$ >pid; exec sleep 60
"""


@pytest.fixture
def run_all(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    (tmp_path / "testbed/lib").mkdir(parents=True)
    for name in ("run-all", "lib/common.sh"):
        shutil.copy(TESTBED / name, tmp_path / "testbed" / name)
    (tmp_path / "Makefile").write_text(MAKEFILE)

    def start(*words: str) -> subprocess.Popen[str]:
        program = tmp_path / "testbed/run-all"
        return subprocess.Popen(
            [program, *words], text=True, stdout=subprocess.PIPE, start_new_session=True
        )

    return start


def test_it_ends_with_where_the_time_went_largest_first(
    run_all: Callable[..., subprocess.Popen[str]],
) -> None:
    running = run_all("quick", "bad", "+", "good", "+", "cut")
    said = running.communicate()[0]
    assert running.returncode == 1
    assert "quick | no line end" in said
    table = said.split("==== where the time went ====\n")[1].split("\n\n")[0] + "\n"
    rows = re.findall(r"^( *[a-z ]+?) +(passed|FAILED|) +(\d+) min (\d\d) s$", table, re.M)
    assert len(rows) == len(table.splitlines())
    assert rows[-1][:2] == ("total", "")
    passed = {"quick": "passed", "good": "passed"}
    failed = ("bad", "bad converge", "cut", "cut verify")
    steps = ("good verify", "good destroy", "bad check")
    assert {name.strip(): verdict for name, verdict, _min, _s in rows[:-1]} == {
        **passed,
        **dict.fromkeys(failed, "FAILED"),
        **dict.fromkeys(steps, ""),
    }
    seconds = {name: int(minutes) * 60 + int(rest) for name, _verdict, minutes, rest in rows}
    targets = [name for name in seconds if not name.startswith(" ")][:-1]
    wanted = []
    for target in sorted(targets, key=lambda name: -seconds[name]):
        of_it = [name for name in seconds if name.startswith(f"  {target} ")]
        wanted += [target, *sorted(of_it, key=lambda name: -seconds[name])]
    assert list(seconds)[:-1] == wanted


def test_the_last_lines_say_what_failed(run_all: Callable[..., subprocess.Popen[str]]) -> None:
    said = run_all("bad", "good", "cut").communicate()[0]
    of_bad, of_cut = re.split(r"==== [a-z]+ FAILED ====\n", said)[1:]
    assert of_bad.split() == [
        word
        for number in range(3, 9)
        for word in f"FAILED tests/test_it.py::test_{number} - assert 1 == 2".split()
    ]
    assert "Executing Testinfra tests found in cut" in of_cut
    assert "Makefile" in of_cut


def test_it_ends_well_when_all_did(run_all: Callable[..., subprocess.Popen[str]]) -> None:
    running = run_all("quick")
    assert running.communicate()[0].endswith(" s\n")
    assert running.returncode == 0


def test_an_interrupted_run_takes_its_lanes_along(
    run_all: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    running = run_all("quick", "+", "slow")
    pid = tmp_path / "pid"
    eventually(lambda: pid.exists() and pid.read_text().endswith("\n"))
    running.send_signal(signal.SIGINT)
    running.communicate()
    assert running.returncode != 0
    eventually(lambda: is_gone(int(pid.read_text())))
