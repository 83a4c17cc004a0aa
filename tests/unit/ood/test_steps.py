# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripts of a session share: programs hear that the job is to end."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from support import eventually

STEPS = Path(__file__).resolve().parents[3] / "roles/ood_apps/files/shared/shell/steps.sh"
PROGRAM = """\
trap 'echo told >> said; exit 9' TERM
: > begun
while :; do sleep 0.05; done
"""
SCRIPT = f"""\
. {STEPS}
ces_at_end 'echo cleared >> said'
ces_follow sh ./program </dev/null
echo "status $?" >> said
"""
JOB = f"""\
. {STEPS}
ces_outlive
bash ./script & SCRIPT_PID=$!
wait "$SCRIPT_PID" || echo "script $?" >> said
"""


@pytest.fixture
def session(tmp_path: Path) -> Path:
    for name, text in (("program", PROGRAM), ("script", SCRIPT), ("job", JOB)):
        (tmp_path / name).write_text(text)
    return tmp_path


def run(session: Path, name: str, number: signal.Signals | None = None) -> tuple[list[str], int]:
    """What a script and its program said, and its status; the script alone gets the signal."""
    child = subprocess.Popen(["bash", f"./{name}"], cwd=session, start_new_session=True)
    try:
        eventually((session / "begun").exists)
        if number is not None:
            child.send_signal(number)
        status = child.wait(timeout=20)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
    return (session / "said").read_text().splitlines(), status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_script_that_is_told_to_end_tells_its_program_and_waits_for_it(
    session: Path, number: signal.Signals
) -> None:
    assert run(session, "script", number) == (["told", "cleared"], 143)


def test_the_job_script_tells_the_script(session: Path) -> None:
    said, _status = run(session, "job", signal.SIGTERM)
    assert said == ["told", "cleared", "script 143"]


def test_a_program_that_ends_by_itself_gives_its_status(session: Path) -> None:
    (session / "program").write_text(": > begun; exit 200")
    assert run(session, "script") == (["status 200", "cleared"], 0)


def test_what_a_script_is_told_after_its_program_is_as_before(session: Path) -> None:
    (session / "program").write_text("exit 0")
    (session / "script").write_text(f"{SCRIPT}: > begun; while :; do sleep 0.05; done\n")
    assert run(session, "script", signal.SIGTERM) == (["status 0", "cleared"], 143)
