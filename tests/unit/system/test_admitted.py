# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a host lets have sessions. The real PAM is asked in the scenario faults."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system.host import admitted

ME = pwd.getpwuid(os.geteuid())
SAID = "Authentication failure"


def user(name: str, uid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, uid, "", f"/home/{name}", "/bin/sh"))


class Answering:
    """A child that is none."""

    def __init__(self, _user: object, look: Callable[[], dict[str, Any]], *_bounds: float) -> None:
        self._look = look

    def answer(self) -> dict[str, Any]:
        return self._look()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What PAM answers, by name, to us as root."""
    said: dict[str, Any] = {}
    (tmp_path / "systemd-user").touch()
    monkeypatch.setattr(admitted, "_CONFIGURED", (str(tmp_path / "systemd-user"),))
    monkeypatch.setattr(admitted, "_ask", lambda names: {n: said[n] for n in names if n in said})
    monkeypatch.setattr(admitted, "Looking", Answering)
    monkeypatch.setattr(admitted, "end_all", lambda _lookings: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return said


def test_each_reason_has_words_and_who_is_let_in_is_not_named(answers: dict[str, Any]) -> None:
    answers.update(late=(13, "expired"), odd=(7, SAID), no_line=(9, "no info"), barred=(6, "no"))
    names = ["late", "odd", "no_line", "barred", "good"]
    found = admitted.kept_out([user(name, 2000 + n) for n, name in enumerate(names)])
    assert found.keys() == {"late", "odd", "no_line", "barred"}
    assert found["late"] == "the account has expired (chage --expiredate -1 lets it go on)"
    assert found["odd"] == f"PAM answers: {SAID}"
    assert "/etc/shadow" in found["no_line"]
    assert "pam_access" in found["barred"]


def test_without_an_answer_nobody_is_kept_out(
    answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host without systemd's sessions, one whose PAM hangs, and one that we ask without root."""
    answers["late"] = (13, "expired")
    with monkeypatch.context() as hanging:
        hanging.setattr(Answering, "answer", lambda _self: {"unreadable": "20 s"})
        assert admitted.kept_out([user("late", 2001)]) == {}
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert admitted.kept_out([user("late", 2001)]) == {}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(admitted, "_CONFIGURED", ("/no/such/file",))
    assert admitted.kept_out([user("late", 2001)]) == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("late:*:20000:0:99999:7::0:", "the account has expired"),
        ("late:*:20000:0:99999:7::99999999:", "PAM answers"),
        ("late:*:0:0:99999:7:::", "its password must be changed first"),
        ("late:*:20000:0:99999:7:::", "PAM answers"),
        ("later:*:0:0:99999:7::0:", "it has no password entry"),
    ],
)
def test_what_debian_hides_behind_a_plain_denial_is_found_in_the_shadow_file(
    tmp_path: Path, line: str, said: str
) -> None:
    (tmp_path / "shadow").write_text(f"root:*:20000:0:99999:7:::\n{line}\n")
    code = admitted._by_shadow(user("late", 2001), str(tmp_path / "shadow"))
    assert admitted._REASONS.get(code, "PAM answers").startswith(said)
    elsewhere = pwd.struct_passwd(("late", "*", *user("late", 2001)[2:]))
    assert admitted._by_shadow(elsewhere, str(tmp_path / "shadow")) == admitted._DENIED


def test_a_uid_that_podman_takes_for_a_negative_one_is_kept_out() -> None:
    great = pwd.struct_passwd(("great", "x", 3_000_000_000, 100, "", "/", "/bin/sh"))
    assert "negative number" in admitted.kept_out([great])["great"]
