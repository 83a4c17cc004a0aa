# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done on the back-end: the program as it is sent, and stand-ins for Slurm's commands."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ces_remote import far_copy, ssh, tree
from ces_remote.protocol import LIVE as NOT_OVER

SQUEUE = """#!/bin/sh
case "$*" in *%A*) cat "$(dirname "$0")/states";; *) echo "asked: $*";; esac
"""
SBATCH = """#!/bin/sh
cat >got-script; printf '%s\\n' "$@" >got-words; echo "$GIVEN" >got-given; umask >got-umask; echo 77
test ! -e "$(dirname "$0")/refuse"
"""


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A back-end: a home with a job's directory, and a Slurm that says what it is told to."""
    slurm = tmp_path / "slurm"
    slurm.mkdir()
    for name, text in (("squeue", SQUEUE), ("sbatch", SBATCH)):
        (slurm / name).write_text(text)
        (slurm / name).chmod(0o755)
    (slurm / "states").write_text("77 77 RUNNING\n")
    (tmp_path / "home" / "job").mkdir(parents=True)
    return tmp_path


def ask(
    there: Path, do: str, payload: bytes = b"", **request: Any
) -> tuple[dict[str, Any], io.BytesIO]:
    """The answer, and what follows it."""
    program = json.dumps(ssh.program_of(do)).encode()
    body = {
        "do": do,
        "base": f"{there}/home",
        "slurm_bin": f"{there}/slurm",
        "timeout": 5,
        **request,
    }
    raw = program + json.dumps(body).encode() + b"\n" + payload
    argv = [sys.executable, "-IS", "-c", ssh._BOOT, str(len(program))]
    done = subprocess.run(argv, input=raw, capture_output=True, check=True)
    stream = io.BytesIO(b"what a shell prints\n" + done.stdout)
    head = ssh._head(stream)
    assert head is not None
    return head, stream


LIVE: dict[str, Any] = {"live": ["connection.yml"], "log": "log", "most": 10}


def test_a_poll_brings_what_is_new(there: Path) -> None:
    job = there / "home" / "job"
    (job / "log").write_text("0123456789abcdef")
    (job / "connection.yml").write_text("host: x")
    said, _more = ask(
        there, "poll", argv=["squeue", "-j", "77"], jobs=["77"], place="job", offset=4, **LIVE
    )
    assert (said["rc"], said["out"], said["states"]) == (0, "asked: -j 77\n", {"77": "RUNNING"})
    assert said["log"] == {"start": 4, "size": 16, "text": "456789abcd"}
    assert said["small"] == {"connection.yml": None}, "its last line is not whole"
    (job / "connection.yml").write_text("host: x\n")
    (job / "log").write_text("new")
    said, _more = ask(there, "poll", argv=[], jobs=["77"], place="job", offset=16, **LIVE)
    assert said["log"] == {"start": 0, "size": 3, "text": "new"}
    assert said["small"] == {"connection.yml": "host: x\n"}


def test_a_poll_follows_no_link(there: Path) -> None:
    (there / "secret").write_text("secret\n")
    for name in ("log", "connection.yml"):
        (there / "home" / "job" / name).symlink_to(there / "secret")
    said, _more = ask(there, "poll", argv=[], jobs=[], place="job", offset=0, **LIVE)
    assert (said["log"], said["small"]) == (None, {"connection.yml": None})


@pytest.mark.parametrize(
    ("lines", "states"),
    [
        ("77 77 COMPLETED\n78 78 PENDING\n", {"77": "COMPLETED", "78": "PENDING"}),
        ("", {"77": "GONE", "78": "GONE"}),
        # an array is over with its last task
        ("80 77 RUNNING\n81 77 COMPLETED\n77 77 FAILED\n", {"77": "RUNNING", "78": "GONE"}),
    ],
)
def test_states_of_jobs(there: Path, lines: str, states: dict[str, str]) -> None:
    (there / "slurm" / "states").write_text(lines)
    assert ask(there, "poll", argv=[], jobs=["77", "78"])[0]["states"] == states


def test_no_answer_of_slurm_is_no_end(there: Path) -> None:
    (there / "slurm" / "squeue").write_text(
        "#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n"
    )
    assert ask(there, "poll", argv=[], jobs=["77"])[0]["states"] == {}


def submit(
    there: Path, place: str = "new/uuid", here: str | None = None, **more: object
) -> dict[str, Any]:
    source = there / "source"
    source.mkdir(exist_ok=True)
    (source / "registry-token").write_text("secret")
    raw = io.BytesIO()
    with tree.writing(raw) as tar:
        tree.pack(tar, str(source), "session")
    here = here or f"{there}/home/{place}"
    script = f"#!/bin/sh\ncd {here}\n".encode()
    words = ["-D", here, "-o", f"{here}/log", f"--error={here}/err", "-J", f"{here}x"]
    request = {"place": place, "directory": here, "argv": ["sbatch", *words], "script": len(script)}
    request |= {"environment": {"GIVEN": "it's $x"}, "one_shot": ["registry-token"], **more}
    return ask(there, "submit", script + raw.getvalue(), **request)[0]


def test_a_submission(there: Path) -> None:
    said = submit(there)
    job = there / "home" / "new" / "uuid"
    assert (said["rc"], said["out"], said["new"]) == (0, "77\n", True)
    assert (job / "got-script").read_text() == f"#!/bin/sh\ncd {job}\n"
    assert (job / "got-given").read_text() == "it's $x\n"
    assert (job / "registry-token").read_text() == "secret"
    assert job.stat().st_mode & 0o777 == 0o700
    # the job has the umask that users have there
    before = os.umask(0)
    os.umask(before)
    assert int((job / "got-umask").read_text(), 8) == before


def test_a_home_that_lies_elsewhere_there(there: Path) -> None:
    submit(there, here="/home/alice/new/uuid")
    job = there / "home" / "new" / "uuid"
    assert (job / "got-script").read_text() == f"#!/bin/sh\ncd {job}\n"
    words = (job / "got-words").read_text().splitlines()
    # the directory and what is in it, and nothing that only looks like it
    assert words == [
        "-D",
        str(job),
        "-o",
        f"{job}/log",
        f"--error={job}/err",
        "-J",
        "/home/alice/new/uuidx",
    ]


def test_of_a_submission_that_is_refused_nothing_stays(there: Path) -> None:
    (there / "slurm" / "refuse").touch()
    assert submit(there)["rc"] == 1
    assert not (there / "home" / "new" / "uuid").exists()
    (there / "home" / "job" / "mine").touch()
    assert submit(there, place="job")["rc"] == 1
    left = {path.name for path in (there / "home" / "job").iterdir()}
    assert "mine" in left, "a directory that was there stays"
    assert "registry-token" not in left


def fetch(there: Path, **more: Any) -> dict[str, Any]:
    request = {
        "place": "job",
        "since": 0,
        "log": "log",
        "record": "run",
        "one_shot": ["registry-token"],
    }
    limits = {"session_limit": 1000, "log_limit": 8, "outputs_limit": 1000, "outputs_files": 5}
    head, stream = ask(there, "fetch", **{**request, **limits, **more})
    if "gone" in head:
        return head
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        return {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar}


def recorded(there: Path, outputs: Path, name: str = "3") -> None:
    record = there / "state" / "ces" / "runs" / name
    record.mkdir(parents=True)
    (record / "run.json").write_text(json.dumps({"outputs": str(outputs)}))
    (record / "output.log").write_text("of the run")
    link = there / "home" / "job" / "run"
    link.symlink_to(record)


def test_what_comes_back(there: Path) -> None:
    job, outputs = there / "home" / "job", there / "home" / "outputs-1"
    for name, text in (("log", "0123456789"), ("result", "r"), ("registry-token", "secret")):
        (job / name).write_text(text)
    (job / "leak").symlink_to("/etc/passwd")
    outputs.mkdir()
    (outputs / "o").write_text("out")
    recorded(there, outputs)
    got = fetch(there)
    summary = json.loads(got.pop("summary"))
    assert summary == {"left": [], "log_cut": 2, "unread": 0}
    assert set(got) == {
        "session/log",
        "session/result",
        "record/run/run.json",
        "record/run/output.log",
        "outputs/outputs-1/o",
    }
    assert got["session/log"] == b"23456789"
    assert not (job / "registry-token").exists()


@pytest.mark.parametrize(
    "outputs",
    ["home/.ssh", "home", "elsewhere/outputs-1", "home/job/../.ssh", "home/outputs-1/../.ssh"],
)
def test_outputs_that_are_none_do_not_come(there: Path, outputs: str) -> None:
    (there / outputs).mkdir(parents=True, exist_ok=True)
    (there / outputs / "secret").write_text("x")
    recorded(there, there / outputs)
    assert not [name for name in fetch(there) if name.startswith("outputs")]


def test_a_link_that_leads_to_no_record_is_none(there: Path) -> None:
    (there / "home" / ".ssh").mkdir()
    (there / "home" / ".ssh" / "run.json").write_text("{}")
    (there / "home" / "job" / "run").symlink_to(there / "home" / ".ssh")
    assert set(fetch(there)) == {"summary"}


def test_what_is_too_much_stays_and_is_named(there: Path) -> None:
    job, outputs = there / "home" / "job", there / "home" / "outputs-1"
    (job / "large").write_bytes(b"x" * 2000)
    (job / "log").write_text("log")
    outputs.mkdir()
    for number in range(6):
        (outputs / str(number)).write_text("x")
    recorded(there, outputs)
    got = fetch(there)
    summary = json.loads(got.pop("summary"))
    assert summary["left"] == [[str(job), 2000 + 0, 1000], [str(outputs), 6, 1000]]
    assert set(got) == {"session/log", "record/run/run.json", "record/run/output.log"}


def test_a_directory_that_is_gone(there: Path) -> None:
    assert fetch(there, place="nowhere") == {"gone": f"{there}/home/nowhere"}


def test_a_lost_submission_is_cancelled_and_its_secret_removed(there: Path) -> None:
    job = there / "home" / "job"
    (job / "registry-token").write_text("secret")
    (there / "slurm" / "states").write_text(f"77 {job}\n78 {job}/other\n79 /elsewhere\n")
    (there / "slurm" / "scancel").write_text(
        '#!/bin/sh\nprintf %s "$*" >"$(dirname "$0")/cancelled"\n'
    )
    (there / "slurm" / "scancel").chmod(0o755)
    assert ask(there, "forget", place="job", one_shot=["registry-token"])[0]["jobs"] == ["77"]
    assert (there / "slurm" / "cancelled").read_text() == "77"
    assert not (job / "registry-token").exists()


def test_a_lost_submission_that_is_still_arriving_is_seen_to_later(there: Path) -> None:
    """What arrives after that look would stay: the token, and a job that nobody knows of."""
    token = there / "home" / "job" / "registry-token"
    token.write_text("secret")
    (there / "slurm" / "states").write_text("")
    submit(there)
    with open(there / "home/.local/state/ces/arrivals.lock") as arriving:
        fcntl.flock(arriving, fcntl.LOCK_SH)
        assert ask(there, "forget", place="job", one_shot=[token.name])[0]["rc"] == 1
        assert token.exists()
    assert ask(there, "forget", place="job", one_shot=[token.name])[0]["rc"] == 0
    assert not token.exists()


def test_a_home_that_is_not_there_is_told(there: Path) -> None:
    said, _more = ask(there, "look", base="/nonexistent/{user}")
    assert "there is no directory /nonexistent/" in said["failed"]


def test_a_command_that_is_not_there_is_told(there: Path) -> None:
    said, _more = ask(there, "run", argv=["nonesuch"])
    assert said["rc"] == 127
    assert "nonesuch: command not found on" in said["err"]


def test_states_that_are_none_are_an_end() -> None:
    assert {"PENDING", "RUNNING", "COMPLETING"} <= NOT_OVER
    assert (
        not {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "GONE"}
        & NOT_OVER
    )


def test_only_records_and_outputs_have_their_names() -> None:
    assert far_copy.RECORD.search("/home/a/.local/state/ces/runs/12")
    assert not far_copy.RECORD.search("/home/a/.local/state/ces/runs/12/x")
    assert far_copy.OUTPUTS.match("outputs-0a-1")
    assert not re.match(far_copy.OUTPUTS, "outputs-../x")
