# SPDX-License-Identifier: GPL-3.0-or-later
"""What ssh says, and what the user is told to do about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ces_remote import complaint
from ces_remote.site import Site

ROOT = Path(__file__).resolve().parents[3]
SITE = Site("island", "login.example.org")
LOGIN = "alice@login.example.org"
DENIED = "Permission denied (publickey)."
UNKNOWN = "Host key verification failed."
SSH = "ssh: connect to host x port 22:"
CHECK = "ces-remote check island"


@pytest.fixture(autouse=True)
def _alice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complaint, "user", lambda: "alice")


@pytest.mark.parametrize(
    ("said", "keys", "meaning", "way"),
    [
        (
            "alice@x: Permission denied (publickey,password).",
            "no-key",
            "you have no ssh key",
            "ssh-keygen -t ed25519 -N '' -f ~/.ssh/id_ed25519 && ssh-copy-id"
            " -i ~/.ssh/id_ed25519.pub alice@login.example.org && ces-remote check island",
        ),
        (DENIED, "passphrase", "has a passphrase", "ssh-keygen -p -N '' -f /k"),
        (DENIED, "", "does not accept your ssh key", f"ssh-copy-id -i /k.pub {LOGIN}"),
        (UNKNOWN, "", "host key of login.example.org is not known", "ood_apps_remote_host_keys"),
        (f"HOST IDENTIFICATION HAS CHANGED!\n{UNKNOWN}", "", "another host key", "Do not go on"),
        ("ssh: Could not resolve hostname x: Unknown", "", "is not known here", "administrator"),
        (f"{SSH} Connection refused", "", "does not answer", CHECK),
        (f"{SSH} Connection timed out", "", "does not answer", CHECK),
        ("kex_exchange_identification: Connection reset", "", "does not answer", "Try again"),
        ("This account is currently not available.", "", "may not log in", "account"),
        ("sh: 1: exec: python3: not found", "", "has no python3", "administrator"),
        ("/home/alice/x: Disk quota exceeded", "", "no room left", "du -xh ~"),
        ("there is no directory /home/x for alice", "", "no home directory", "log in there once"),
        ("something quite else", "", "something quite else", CHECK),
        ("", "", "it said nothing", CHECK),
    ],
)
def test_what_is_said_has_a_way_out(said: str, keys: str, meaning: str, way: str) -> None:
    error = complaint.explain(SITE, "reach it", said, keys, "/k" if keys != "no-key" else "")
    assert meaning in error.said
    assert way in error.hint
    assert "{" not in str(error)


def test_another_port_is_in_the_commands() -> None:
    error = complaint.explain(Site("x", "h", port=2222), "reach it", "Permission denied", "", "/k")
    assert "ssh-copy-id -i /k.pub -p 2222 alice@h" in error.hint


def test_the_page_for_researchers_has_what_is_said() -> None:
    page = (ROOT / "docs" / "remote-homes.md").read_text(encoding="utf-8")
    table = page.split("| it says |")[1]
    documented = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    said = " ".join(meaning for _pattern, _matter, meaning, _way in complaint.WAYS)
    assert len(documented) > 5
    for words in documented:
        assert all(part.strip() in said for part in words.split("...")), words
