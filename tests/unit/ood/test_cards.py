# SPDX-License-Identifier: GPL-3.0-or-later
"""What a card says when a session is over: did the container succeed, and where things are."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

APP = "batch_container_app"
IMAGE = "registry.example.org/project/image:2.1"
RECORD = {
    "run_id": 7,
    "state": "COMPLETED",
    "rc": 0,
    "reason": "",
    "duration": 75.2,
    "image": IMAGE,
}


@pytest.fixture
def session(portal):
    """A launch whose job is over."""
    return portal.launch(APP, cluster="large", image=IMAGE, cores="1", memory="1", gpus="0")


def write_record(session, place: Path, **facts) -> None:
    """As ces-run leaves it: a link to the record's directory."""
    directory = place / "state/runs/7"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "run.json").write_text(json.dumps({**RECORD, **facts}))
    link = Path(session["directory"]) / "run"
    if not link.is_symlink():
        link.symlink_to(directory)


def write_progress(session, *lines: str) -> None:
    (Path(session["directory"]) / "progress").write_text("".join(f"{line}\n" for line in lines))


def card(portal, session) -> dict[str, str]:
    html = portal.completed(APP, session["id"])
    rows = dict(re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td></tr>', html))
    found = {"headline": re.search("<strong>(.*?)</strong>", html)[1], "html": html}
    return {**{name: unescape(text) for name, text in rows.items()}, **found}


def test_a_container_that_succeeded(portal, session, tmp_path):
    outputs = tmp_path / "outputs 7"
    outputs.mkdir()
    (Path(session["directory"]) / "output.log").write_text("x")
    write_progress(session, "step run", "rc 0", "state COMPLETED")
    write_record(session, tmp_path, outputs=str(outputs))
    found = card(portal, session)
    assert found["headline"] == "The container succeeded"
    assert (found["State"], found["Exit code"], found["Run time"]) == (
        "COMPLETED",
        "0",
        "1 min 15 s",
    )
    assert "alert-success" in found["html"]
    assert f'href="/pun/sys/dashboard/files/fs{tmp_path}/outputs%207"' in found["html"]
    assert f'href="/pun/sys/dashboard/files/fs{session["directory"]}/output.log"' in found["html"]


@pytest.mark.parametrize(
    ("state", "rc", "reason", "headline"),
    [
        ("FAILED", 3, "the container exited with 3", "The container failed"),
        (
            "TIMEOUT",
            124,
            "the time that Slurm gave the job was over",
            "The container ran out of time",
        ),
        (
            "OUT_OF_MEMORY",
            137,
            "the kernel killed it for lack of memory",
            "The container ran out of memory",
        ),
        ("CANCELLED", 143, "stopped by SIGTERM", "The container was cancelled"),
    ],
)
def test_a_container_that_did_not_is_told_as_such(
    portal, session, tmp_path, state, rc, reason, headline
):
    write_progress(session, "step run", f"rc {rc}", "state FAILED")
    write_record(session, tmp_path, state=state, rc=rc, reason=reason)
    found = card(portal, session)
    assert (found["headline"], found["State"], found["Exit code"], found["Reason"]) == (
        headline,
        state,
        str(rc),
        reason,
    )
    assert "alert-success" not in found["html"]


def test_words_of_a_container_turn_no_line_of_a_card(portal, session, tmp_path):
    write_progress(session, "step run")
    write_record(session, tmp_path, state="FAILED", rc=125, reason="\u202egnp.exe\x1b[31m\u200b")
    assert card(portal, session)["Reason"] == r"\u202egnp.exe\u001b[31m\u200b"


def test_an_image_that_was_not_fetched(portal, session):
    write_progress(
        session,
        "step pull",
        "rc 125",
        'reason The image could not be fetched. answer: "no"',
        "state FAILED",
    )
    found = card(portal, session)
    assert (found["headline"], found["Step"]) == ("The container failed", "pull")
    assert found["Reason"] == 'The image could not be fetched. answer: "no"'


def test_a_job_that_never_began(portal, session):
    found = card(portal, session)
    assert found["headline"] == "The container was cancelled"
    assert "ended before it began" in found["Reason"]


def test_a_job_that_was_killed_while_the_container_ran(portal, session, tmp_path):
    write_progress(session, "step run")
    write_record(session, tmp_path, state="RUNNING", rc=None)
    found = card(portal, session)
    assert "succeeded" not in found["headline"]
    assert 'ended during the step "run"' in found["Reason"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '"x"',
        "\x00\xff",
        '{"state": ["COMPLETED"], "rc": {"a": 1}, "duration": "x"}',
    ],
)
def test_a_damaged_record_is_no_success_and_no_error(portal, session, tmp_path, text):
    write_record(session, tmp_path)
    (tmp_path / "state/runs/7/run.json").write_text(text)
    write_progress(session, "step run")
    found = card(portal, session)
    assert found["headline"] == "The container was cancelled"


def test_a_session_that_runs_says_so(portal, session):
    (Path(session["directory"]) / "connection.yml").write_text("host: node1\nport: \npassword: \n")
    (found,) = portal.ask({"card": session["id"], "app": APP})
    assert "The container runs on node1" in found["view"]
    assert IMAGE in unescape(found["info"])
