# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ces_check: it changes nothing, and what will not work is no failure of the task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services.check import Checked, Verdict
from ansible_collections.tre.ces.plugins.module_utils.ces.system.system import System
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import Finding
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import CheckSpec
from ansible_collections.tre.ces.plugins.modules import ces_check

IMAGE = "registry.example.org/app:1"
FAULT = Finding("program", "fault", "it says nothing", "give arguments")


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with a session, on a host without a policy."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def told(session: None, monkeypatch: pytest.MonkeyPatch) -> list[CheckSpec]:
    """What the service was asked; it says what stands in ``answer``."""
    asked = []

    def check(spec: CheckSpec, _system: System) -> Checked:
        asked.append(spec)
        return Checked(IMAGE, "podman", (Verdict("podman", (FAULT,)),), size=5)

    monkeypatch.setattr(ces_check, "check_for_here", check)
    return asked


@pytest.mark.parametrize("check", [True, False])
def test_what_was_found_is_returned_in_check_mode_too(
    run: Callable[..., dict[str, Any]], told: list[CheckSpec], check: bool
) -> None:
    answer = run(ces_check, check=check, image=IMAGE, runner="podman")
    assert (answer["changed"], answer["works"], answer["size"]) == (False, False, 5)
    assert answer.get("failed", False) is False
    assert answer["runners"]["podman"] == {
        "verdict": "will not work",
        "reason": "it says nothing. give arguments",
        "findings": [FAULT.as_dict()],
    }
    assert (str(told[0].image), told[0].runner) == (IMAGE, "podman")


@pytest.mark.parametrize("check", [True, False])
def test_what_was_pulled_is_a_change(
    run: Callable[..., dict[str, Any]],
    session: None,
    monkeypatch: pytest.MonkeyPatch,
    check: bool,
) -> None:
    asked: list[bool] = []

    def look(_spec: CheckSpec, _system: System, check_only: bool = False) -> Checked:
        asked.append(check_only)
        return Checked(IMAGE, "podman", (Verdict("podman", (FAULT,)),), pulled=True)

    monkeypatch.setattr(ces_check, "check_inside", look)
    answer = run(ces_check, check=check, image=IMAGE, pull=True)
    assert (answer["changed"], answer["pulled"], answer["works"]) == (True, True, False)
    assert asked == [check]


def test_the_login_is_handed_on_and_returned_nowhere(
    run: Callable[..., dict[str, Any]], told: list[CheckSpec]
) -> None:
    answer = run(ces_check, image=IMAGE, username="ada", password="t0ken-x")  # noqa: S106
    assert (told[0].credentials.username, told[0].credentials.password) == ("ada", "t0ken-x")
    assert "t0ken-x" not in str({**answer, "invocation": None})
    assert "t0ken-x" not in str(answer["invocation"])


def test_an_image_file_is_named_by_its_path(
    run: Callable[..., dict[str, Any]], told: list[CheckSpec]
) -> None:
    run(ces_check, image="/srv/a.sif")
    assert told[0].image.path == "/srv/a.sif"


def test_an_image_that_the_site_does_not_allow_will_not_work(
    run: Callable[..., dict[str, Any]], session: None
) -> None:
    answer = run(ces_check, image=IMAGE)
    assert (answer["changed"], answer["works"]) == (False, False)
    assert "is not allowed on this back-end" in answer["runners"]["podman"]["reason"]


def test_what_cannot_be_looked_at_fails(
    run: Callable[..., dict[str, Any]], session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_spec: CheckSpec, _system: System) -> None:
        raise CesError("ask the registry", said="it does not answer")

    monkeypatch.setattr(ces_check, "check_for_here", fail)
    answer = run(ces_check, image=IMAGE)
    assert answer["failed"] and answer["msg"] == "could not ask the registry: it does not answer"
