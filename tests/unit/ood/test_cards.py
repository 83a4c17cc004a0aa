# SPDX-License-Identifier: GPL-3.0-or-later
"""What a card says when a session is over: did the container succeed, and where things are."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from ces_commands.verbs import VERBS, spellings
from ood_support import APPS, FILES, ROOT, Portal
from support import there

CORE = ROOT / "plugins/module_utils/ces"
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
def session(portal: Portal) -> dict[str, Any]:
    """A launch whose job is over."""
    return portal.launch(APP, cluster="large", image=IMAGE, cores="1", memory="1", gpus="0")


def write_record(session: dict[str, Any], place: Path, **facts: Any) -> None:
    """As ces-run leaves it: a link to the record's directory."""
    directory = place / "state/runs/7"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "run.json").write_text(json.dumps({**RECORD, **facts}))
    link = Path(session["directory"]) / "run"
    if not link.is_symlink():
        link.symlink_to(directory)


def write_progress(session: dict[str, Any], *lines: str) -> None:
    (Path(session["directory"]) / "progress").write_text("".join(f"{line}\n" for line in lines))


def card(portal: Portal, session: dict[str, Any]) -> dict[str, str]:
    html = portal.completed(APP, session["id"])
    rows = dict(re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td></tr>', html))
    found = {"headline": there(re.search("<strong>(.*?)</strong>", html))[1], "html": html}
    return {**{name: unescape(text) for name, text in rows.items()}, **found}


def test_a_container_that_succeeded(
    portal: Portal, session: dict[str, Any], tmp_path: Path
) -> None:
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
    portal: Portal,
    session: dict[str, Any],
    tmp_path: Path,
    state: str,
    rc: int,
    reason: str,
    headline: str,
) -> None:
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


def test_words_of_a_container_turn_no_line_of_a_card(
    portal: Portal, session: dict[str, Any], tmp_path: Path
) -> None:
    write_progress(session, "step run")
    write_record(session, tmp_path, state="FAILED", rc=125, reason="\u202egnp.exe\x1b[31m\u200b")
    assert card(portal, session)["Reason"] == r"\u202egnp.exe\u001b[31m\u200b"


def test_an_image_that_was_not_fetched(portal: Portal, session: dict[str, Any]) -> None:
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


def test_a_job_that_never_began(portal: Portal, session: dict[str, Any]) -> None:
    found = card(portal, session)
    assert found["headline"] == "The container was cancelled"
    assert "ended before it began" in found["Reason"]


def test_a_job_that_was_killed_while_the_container_ran(
    portal: Portal, session: dict[str, Any], tmp_path: Path
) -> None:
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
def test_a_damaged_record_is_no_success_and_no_error(
    portal: Portal, session: dict[str, Any], tmp_path: Path, text: str
) -> None:
    write_record(session, tmp_path)
    (tmp_path / "state/runs/7/run.json").write_text(text)
    write_progress(session, "step run")
    found = card(portal, session)
    assert found["headline"] == "The container was cancelled"


@pytest.mark.parametrize(
    "facts",
    [
        r'"outputs": "/\u0000"',
        r'"outputs": "/\ud800"',
        f'"outputs": "/{"a" * 5000}"',
        '"duration": 1e400',
        '"duration": -1e400',
        '"duration": 1e300',
        '"started": {"a": 1}, "ended": true',
        f'"started": "x", "ended": "{"9" * 5000}"',
        '"mounts": [1, null, {"target": "/safe_data", "source": ["x"]}]',
        r'"reason": "\ud800 leave --gpu out", "note": {"a": "\udfff"}',
    ],
)
def test_a_record_that_a_container_wrote_leaves_the_card_whole(
    portal: Portal, session: dict[str, Any], tmp_path: Path, facts: str
) -> None:
    """One that has the home can write there: then one card is odd, and no page fails."""
    write_record(session, tmp_path)
    record = tmp_path / "state/runs/7/run.json"
    record.write_text(f'{{"state": "FAILED", "rc": 1, {facts}}}')
    for completed in (True, False):
        (found,) = portal.ask({"card": session["id"], "app": APP, "completed": completed})
        assert "error" not in found


VIEWS = {
    "batch_container_app": "<p>The container runs on node1.</p>",
    "greetings_app": "<p>node1 greets you.</p>",
    "jupyter_app": "<p>JupyterLab runs on node1. ",
}


@pytest.mark.parametrize("app", APPS)
def test_a_session_that_runs_says_so(every_portal: Portal, app: str) -> None:
    """Views of portals before 4.2 have the connection and no session."""
    values: dict[str, Any] = {
        "cluster": "large",
        "image": IMAGE,
        "cores": "1",
        "memory": "1",
        "gpus": "0",
    }
    session = every_portal.launch(app, **values)
    directory = Path(session["directory"])
    (directory / "connection.yml").write_text("host: node1\nport: 2000\npassword: abc\n")
    (directory / "output.log").write_text("x")
    (found,) = every_portal.ask({"card": session["id"], "app": app})
    assert "error" not in found
    assert VIEWS[app] in found["view"]
    assert f"fs{directory}/output.log" in found["info"]
    done = every_portal.ask({"card": session["id"], "app": app, "completed": True})
    assert "error" not in done[0]


def rows(html: str) -> dict[str, str]:
    found = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td></tr>', html)
    return {unescape(name): unescape(text) for name, text in found}


def test_a_card_says_what_was_launched_where(
    portal: Portal, session: dict[str, Any], tmp_path: Path
) -> None:
    (found,) = portal.ask({"card": session["id"], "app": APP})
    said = rows(found["info"])
    assert (said["Cluster"], said["Image"]) == ("Large", IMAGE)
    assert said["Container name"] == f"image-{session['id']}"
    assert "Project" not in said
    # which project it was is known when it runs
    mounts = [{"source": "/safe_data/proj2", "target": "/safe_data"}]
    write_record(session, tmp_path, state="RUNNING", mounts=mounts)
    (found,) = portal.ask({"card": session["id"], "app": APP})
    assert rows(found["info"])["Project"] == "proj2"


def test_long_names_break_on_a_small_screen(portal: Portal, session: dict[str, Any]) -> None:
    (found,) = portal.ask({"card": session["id"], "app": APP})
    assert '<table class="table table-sm text-break">' in found["info"]


def test_the_button_has_room_below_it(portal: Portal) -> None:
    session = portal.launch("jupyter_app", cluster="large")
    connection = Path(session["directory"]) / "connection.yml"
    connection.write_text("host: n1\nport: 2000\npassword: abc\n")
    (found,) = portal.ask({"card": session["id"], "app": "jupyter_app"})
    assert '<form class="mb-3" ' in found["view"]


CURES = {
    "the image may be private: give a user name and token (ces-pull --username)": (
        "the image may be private: give a user name and token (Registry user and Registry token)"
    ),
    "name x is already in use. choose another name with -n, or stop that container with ces-stop": (
        "name x is already in use. write another Container name, or cancel the session that has it"
    ),
    "leave --gpu out, or ask the administrator": "set GPUs to 0, or ask the administrator",
    "there are several: a, b. choose one with --project NAME (or CES_PROJECT)": (
        "there are several: a, b. write one of them into Project"
    ),
    "move it away, or pull with --force": "move it away, or tick Reuse the image file",
    "Choose one with --project NAME (or CES_PROJECT).": "Write one of them into Project.",
    "--memory is more than the policy's 4 GiB": "Memory (GiB) is more than the policy's 4 GiB",
    "the option --privileged of podman is not allowed": (
        "the option --privileged of podman is not allowed"
    ),
    "could not pass --name to podman: no. allowed: --env, --name; else ask": (
        "could not pass --name to podman: no. allowed: --env, --name; else ask"
    ),
    "Could not pass --name to podman: no. Allowed: --env, --name.": (
        "Could not pass --name to podman: no. Allowed: --env, --name."
    ),
    "use x-n and my--gpu-run": "use x-n and my--gpu-run",
}


@pytest.mark.parametrize("said", CURES)
def test_a_card_names_the_forms_fields(
    portal: Portal, session: dict[str, Any], tmp_path: Path, said: str
) -> None:
    write_record(session, tmp_path, state="FAILED", rc=125, reason=said)
    assert card(portal, session)["Reason"] == CURES[said]


def test_the_advice_that_has_other_words_on_a_form_is_what_the_core_says() -> None:
    """Whoever writes the sentence anew in the core finds that the form has words for it."""
    core = "".join(file.read_text() for file in CORE.rglob("*.py"))
    table = (FILES / "shared/cures.rb").read_text().split("SENTENCES = {")[1].split("}.freeze")[0]
    sentences = re.findall(r'"([^"]+)" =>', table)
    assert len(sentences) > 10
    assert [sentence for sentence in sentences if sentence not in core] == []


def test_every_option_that_a_card_puts_into_words_is_one(forms: dict[str, Any]) -> None:
    """And is put into the name of a field."""
    ruby = (FILES / "shared/cures.rb").read_text()
    options = re.findall(r'"(--?[a-z-]+)" => "([a-z_]+)"', ruby)
    known = {name for verb in ("run", "pull") for name in spellings(VERBS[verb])}
    assert options and {option for option, _field in options} <= known
    assert {field for _option, field in options} <= set(forms[APP]["form"])
