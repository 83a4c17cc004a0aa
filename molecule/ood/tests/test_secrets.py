# SPDX-License-Identifier: GPL-3.0-or-later
"""After launches with a token it is nowhere; and while they run nobody sees it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from remote import Host, answer_of
from users import IMAGE, SITE, TOKEN, Session, User

USER = SITE["testbed_registry_user"]
PLACES = [
    "/home",
    "/root",
    "/tmp",
    "/var/tmp",
    "/run",
    "/etc",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/safe_data",
    "/dev/shm",
]
WITHOUT = ["/var/lib/apt", "/var/lib/dpkg", "/run/udev"]


def traces() -> list[str]:
    """The token as it is, as JSON and shells write it, and in base64."""
    return [
        TOKEN,
        json.dumps(TOKEN)[1:-1],
        "$HOME `id`",
        "\\$HOME\\ \\`id\\`",
        base64.b64encode(TOKEN.encode()).decode(),
        base64.b64encode(f"{USER}:{TOKEN}".encode()).decode(),
    ]


Launched = tuple[Session, list[Any]]
"""The session, and what was seen on each host."""


@pytest.fixture(scope="module")
def launched(portal: Host, node: Host, alice: User) -> Launched:
    """A launch with a token for an image that must be fetched, watched on both hosts."""
    node.run("alice", f"ces-rm podman {IMAGE}")
    watches = [host.begin("root", "watch_cmdlines", words=traces()) for host in (portal, node)]
    session = alice.container().end()
    return session, [answer_of(watch) for watch in watches]


def test_it_worked(launched: Launched) -> None:
    session, _seen = launched
    assert "pulled (" in session.log()
    assert session.outcome()["headline"] == "The container succeeded"


def test_no_process_showed_it(launched: Launched) -> None:
    _session, seen = launched
    for answer in seen:
        assert answer["passes"] > 20
        assert answer["seen"] == []


def test_no_log_no_page_and_no_scheduler_has_it(launched: Launched, portal: Host) -> None:
    session, _seen = launched
    said = [session.log(), *filter(None, session.card(completed=True).values())]
    said.append(
        portal.root(
            f"scontrol show job {session.job}; scontrol write batch_script {session.job} - || true"
        )
    )
    said += [
        session.file(name)
        for name in (
            "user_defined_context.json",
            "job_script_options.json",
            "job_script_content.sh",
        )
    ]
    for text in said:
        assert text
        assert [trace for trace in traces() if trace in text] == []


@pytest.mark.parametrize("name", ["portal", "node1"])
def test_no_file_has_it(launched: Launched, hosts: dict[str, Host], name: str) -> None:
    found = hosts[name].ask("root", "find_words", places=PLACES, words=traces(), without=WITHOUT)
    assert found["looked_at"] > 300
    assert found["found"] == []


@pytest.mark.parametrize("name", ["portal", "node1"])
def test_no_journal_has_it(launched: Launched, hosts: dict[str, Host], name: str) -> None:
    said = hosts[name].root("journalctl --no-pager -o cat")
    assert said
    assert [trace for trace in traces() if trace in said] == []


def test_only_its_owner_can_read_a_session(launched: Launched, hosts: dict[str, Host]) -> None:
    session, _seen = launched
    assert hosts["portal"].run("bob", f"ls {session.directory}").rc != 0
    mode = hosts["portal"].root(f"stat -c %a {session.directory}/user_defined_context.json")
    assert mode.strip() == "600"
