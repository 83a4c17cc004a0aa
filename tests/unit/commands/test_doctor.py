# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-doctor``: exit statuses, and what is printed for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ces_commands.parse import parse
from ces_commands.verbs import VERBS
from support import StartCommand

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """``doctor(levels, WORDS...)``: exit status and output, of a host with such findings."""
    monkeypatch.syspath_prepend(str(ROOT / "plugins/module_utils"))
    from ces.services.doctor import Diagnosis
    from ces.values.finding import Finding
    from ces_commands.doors import doctor as door

    def run(levels: list[str], *words: str) -> tuple[int, str]:
        findings = tuple(
            Finding("fuse", level, f"it is {level}", "mend it", "podman") for level in levels
        )
        monkeypatch.setattr(
            door,
            "diagnose",
            lambda name, canary, _signals: Diagnosis((name or "ada") + "+" * canary, findings),
        )
        status = door.main(parse(VERBS["doctor"], "ces-doctor", list(words)))
        return status, capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("levels", "status"), [([], 0), (["ok", "note", "warning"], 0), (["ok", "fault"], 1)]
)
def test_the_exit_status_says_whether_there_are_faults(
    doctor: Callable[..., tuple[int, str]], levels: list[str], status: int
) -> None:
    assert doctor(levels)[0] == status


def test_people_see_what_is_wrong_and_a_count(doctor: Callable[..., tuple[int, str]]) -> None:
    assert doctor(["ok", "warning", "ok"])[1].splitlines() == [
        "warning (fuse): it is warning",
        "  to do: mend it (role podman)",
        "ada: 0 faults, 1 warning, 0 notes, 2 ok",
    ]


def test_with_verbose_they_see_the_rest_too(doctor: Callable[..., tuple[int, str]]) -> None:
    assert "ok (fuse): it is ok" in doctor(["ok"], "-v")[1]


def test_programs_get_all_of_it(doctor: Callable[..., tuple[int, str]]) -> None:
    raw = json.loads(doctor(["ok", "fault"], "--json", "--user", "bob")[1])
    assert (raw["user"], raw["level"]) == ("bob", "fault")
    assert [one["level"] for one in raw["findings"]] == ["ok", "fault"]


def test_a_canary_is_asked_for(doctor: Callable[..., tuple[int, str]]) -> None:
    assert doctor(["ok"], "--canary")[1].startswith("ada+: ")


@pytest.mark.parametrize("name", ["no.such.user", ""])
def test_an_unknown_user_cannot_be_looked_at(command: StartCommand, name: str) -> None:
    child = command("ces-doctor", "--user", name)
    _out, err = child.communicate()
    assert child.returncode == 125
    assert f"could not look at the user '{name}'" in err
    assert "there is no such account here" in err
