# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_check: facts for roles, and what keeps them from going on."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.services import host_check as service
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host import admitted
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import Finding
from ansible_collections.tre.ces.plugins.modules import host_check

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[service.Asked]:
    """What was asked; a fault and a warning are the answer."""
    questions: list[service.Asked] = []

    def judge(question: service.Asked) -> list[Finding]:
        questions.append(question)
        return [Finding("fuse", "fault", "it is closed", "open it"), Finding("x", "warning", "odd")]

    monkeypatch.setattr(service, "judge", judge)
    return questions


@pytest.mark.parametrize("check", [True, False])
def test_what_refuses_and_what_is_told(
    run: Callable[..., dict[str, Any]], asked: list[service.Asked], check: bool
) -> None:
    answer = run(host_check, check=check, subjects=["isolation"], refuse=["fuse", "x"])
    assert not answer["changed"]
    assert answer["refused"] == [{"check": "fuse", "reason": "it is closed. open it"}]
    assert answer["told"] == ["odd"]


def test_what_counts_in_place_of_the_policy(
    run: Callable[..., dict[str, Any]], asked: list[service.Asked]
) -> None:
    run(host_check, subjects=["canary"], runners=["oci"], limits="required", root="/srv/x")
    run(host_check, subjects=["canary"])
    first, second = asked
    assert first.given.policy == {"runners": ("oci",), "limits": "required"}
    assert (first.given.storage_root, first.role) == ("/srv/x", "this_role")
    assert second.given.policy == {}


def test_without_a_subject_nothing_is_judged(
    run: Callable[..., dict[str, Any]], asked: list[service.Asked]
) -> None:
    answer = run(host_check, users=[ME, "no.such.user"], user_directories=["/no/{uid}"])
    assert asked == []
    assert (answer["refused"], answer["told"]) == ([], [])
    mine, nobodys = answer["users"]
    assert mine["directories_wrong"] == [f"/no/{os.geteuid()}"]
    assert nobodys == {"name": "no.such.user", "known": False, "ready": False}
    assert "apptainer" not in answer


@pytest.mark.parametrize("reason", ["", "the account has expired"])
def test_a_user_is_ready_whom_the_host_admits(
    run: Callable[..., dict[str, Any]],
    asked: list[service.Asked],
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
) -> None:
    found = {ME: reason} if reason else {}
    monkeypatch.setattr(admitted, "kept_out", lambda _users: found)
    (mine,) = run(host_check, users=[ME], subjects=["ground"])["users"]
    assert (mine["kept_out"], mine["ready"]) == (reason, not reason)
    assert asked[0].kept_out == found


def test_subjects_are_those_of_the_doctor(run: Callable[..., dict[str, Any]]) -> None:
    """The documentation lists them; the sanity tests compare it with the specification."""
    answer = run(host_check, subjects=["nonsense"])
    assert answer["failed"]
    assert all(name in answer["msg"] for name in service.NAMES)
