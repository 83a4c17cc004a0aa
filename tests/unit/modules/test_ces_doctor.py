# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ces_doctor: it changes nothing, and what is wrong is no failure of the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import NotFound
from ansible_collections.tre.ces.plugins.module_utils.ces.services.doctor import Diagnosis
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import StopSignals
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import Finding
from ansible_collections.tre.ces.plugins.modules import ces_doctor

FINE = Finding("fuse", "ok", "users may mount by /dev/fuse")
FAULT = Finding("policy", "fault", "it is broken", "the administrator corrects it", "ces_tools")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The names that were looked at: bob's findings have a fault."""
    names: list[str | None] = []

    def look(name: str | None, canary: bool, _signals: StopSignals) -> Diagnosis:
        names.append(f"{name}+" if canary else name)
        if name == "nobody-known":
            raise NotFound("look at nobody-known", said="there is no such account here")
        return Diagnosis(name or "me", (FINE, FAULT) if name == "bob" else (FINE,))

    monkeypatch.setattr(ces_doctor, "diagnose", look)
    return names


@pytest.mark.parametrize("check", [True, False])
def test_what_was_found_is_returned_for_each_user(
    run: Callable[..., dict[str, Any]], asked: list[str | None], check: bool
) -> None:
    answer = run(ces_doctor, check=check, users=["alice", "bob"])
    assert (answer["changed"], answer["level"]) == (False, "fault")
    assert not answer.get("failed", False)
    alice, bob = answer["users"]
    assert alice == {"user": "alice", "level": "ok", "findings": [FINE.as_dict()]}
    assert bob["findings"] == [FINE.as_dict(), FAULT.as_dict()]


def test_without_names_the_tasks_user_is_looked_at(
    run: Callable[..., dict[str, Any]], asked: list[str | None]
) -> None:
    answer = run(ces_doctor)
    assert asked == [None]
    assert (answer["level"], answer["users"][0]["user"]) == ("ok", "me")


def test_a_canary_is_asked_for(run: Callable[..., dict[str, Any]], asked: list[str | None]) -> None:
    run(ces_doctor, users=["alice"], canary=True)
    assert asked == ["alice+"]


def test_an_unknown_user_fails_the_task(
    run: Callable[..., dict[str, Any]], asked: list[str | None]
) -> None:
    answer = run(ces_doctor, users=["nobody-known"])
    assert answer["failed"]
    assert "no such account" in answer["msg"]
