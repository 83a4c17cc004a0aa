# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a verification: whole whatever a host answers, and a page that loads nothing."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.filter.verification import verification
from ansible_collections.tre.ces.plugins.filter.verification_page import verification_page
from ansible_collections.tre.ces.plugins.module_utils.ces.services.verify import Verified
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import Finding
from ansible_collections.tre.ces.plugins.module_utils.ces.values.proof import Proof

NOW = "2026-01-31T12:00:00Z"
TOKEN = "glpat-4Xy7Zw9qLr5vKdX3mTa1"  # noqa: S105  it looks like one
HOSTILE = "</td><script>alert(1)</script><img src=//x.example.org/x onerror=alert(1)>\x1b[31m"


def result(*proofs: Proof) -> dict[str, Any]:
    """What the module returns, with what Ansible puts beside it."""
    found = Verified(
        "backend1",
        "2026-01-31T11:00:00Z",
        "2026-01-31T11:01:00Z",
        people=2,
        chosen=["ada", "bo"],
        engines=["podman"],
        versions={"podman": "podman version 5.4.2"},
        policy={"file": "/etc/ces/policy.json", "sha256": "0a" * 32},
        proofs=list(proofs),
        findings=[{"user": "", **Finding("fuse", "fault", HOSTILE, "chmod", "podman").as_dict()}],
    )
    invocation = {"module_args": {"password": TOKEN}}
    return {**found.as_dict(), "changed": False, "failed": False, "invocation": invocation}


FINE = Proof(Finding("container", "ok", "it ran"), "ada", "podman")
OPEN = Proof(Finding("limits", "warning", "1 CPU: not enforced here"), "ada", "podman")
ILL = Proof(Finding("container", "fault", "no range", "role subid"), "bo", "podman")


def test_hosts_that_answered_nothing_are_marked() -> None:
    report = verification(
        {
            "down": {"unreachable": True, "msg": "no route to host"},
            "odd": {"failed": True, "msg": "could not import"},
            "lost": {},
            "well": result(FINE, OPEN),
        },
        NOW,
    )
    states = {host["name"]: (host["state"], host["said"]) for host in report["hosts"]}
    assert states == {
        "down": ("not reached", "no route to host"),
        "lost": ("not verified", "an earlier task of the play failed on it"),
        "odd": ("not verified", "could not import"),
        "well": ("verified", ""),
    }
    assert len(report["failures"]) == 3
    assert report["counts"] == {"proved": 1, "not proved": 1, "failed": 0}
    page = verification_page(report)
    for words in ("no route to host", "could not import", "Something failed"):
        assert words in page


def test_a_failure_is_told_with_its_cure() -> None:
    report = verification({"h": result(FINE, ILL)}, NOW)
    assert report["failures"] == ["h: container (bo, podman): no range. role subid"]
    assert "What failed" in verification_page(report)


def test_a_report_that_proves_nothing_does_not_look_well() -> None:
    page = verification_page(verification({"h": result(OPEN)}, NOW))
    assert '<div class="verdict open"><b>Nothing was proved. Why is below.</b></div>' in page
    assert "Nothing failed" not in page


def test_what_is_not_proved_is_not_shown_as_proved() -> None:
    page = verification_page(verification({"h": result(FINE, OPEN)}, NOW))
    assert "Nothing failed. What was not proved is listed as such." in page
    assert " not proved</td>" in page
    assert "1 CPU: not enforced here" in page


def test_no_secret_and_no_argument_of_the_task_is_in_it() -> None:
    spoken = Proof(Finding("pull", "fault", f"refused {TOKEN}"), "ada", "podman", "r/a:1")
    report = verification({"h": result(spoken)}, NOW)
    assert TOKEN not in json.dumps(report)
    assert TOKEN not in verification_page(report)
    assert "invocation" not in json.dumps(report)
    # a hash is what an auditor compares
    assert "0a" * 32 in verification_page(report)


class Tags(HTMLParser):
    """All tags and attributes of a page, and those that were not closed."""

    VOID = ("meta", "br", "img", "link", "hr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("said", [HOSTILE, "'\"&<>", "\u202eback"])
def test_what_somebody_said_is_text(said: str) -> None:
    proof = Proof(Finding("container", "fault", said, said, said), "ada", "podman", said)
    in_matrix = Proof(Finding("limits", "ok", said), said, said)
    host = result(proof, in_matrix) | {"chosen": [said], "versions": {said: said}}
    page = verification_page(verification({said: host, "x": {"msg": said}}, NOW))
    tags = Tags(page)
    assert tags.open == []
    assert not {"script", "img", "link", "iframe", "form"} & {tag for tag, _attributes in tags.seen}
    for tag, attributes in tags.seen:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_a_browser_loads_nothing_for_it() -> None:
    page = verification_page(verification({"h": result(FINE)}, NOW))
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "@import" not in page


def test_twenty_users_who_are_alike_are_told_in_one_row() -> None:
    proofs = [
        Proof(Finding("limits", "warning", "not enforced"), f"u{n}", "podman") for n in range(20)
    ]
    page = verification_page(verification({"h": result(*proofs)}, NOW))
    listed = page.partition("What was not proved</h3>")[2].partition("</table>")[0]
    assert listed.count("<tr>") == 2
    assert "u0, podman; u1, podman" in listed
