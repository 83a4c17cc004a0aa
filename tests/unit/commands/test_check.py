# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-check``: exit statuses, and what is printed for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from ces_commands.manual import generated
from ces_commands.parse import parse
from ces_commands.verbs import VERBS
from support import StartCommand

ROOT = Path(__file__).resolve().parents[3]
IMAGE = "registry.example.org/app:1"


@pytest.fixture
def check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """``check(verdicts, WORDS...)``: exit status and both outputs, of a host that finds that."""
    monkeypatch.syspath_prepend(str(ROOT / "plugins/module_utils"))
    from ces.services.check import Checked, Verdict
    from ces.values.finding import Finding
    from ces_commands.doors import check as door

    def run(findings: list[tuple[str, ...]], *words: str) -> tuple[int, str, str]:
        verdicts = tuple(
            Verdict(runner, (Finding("size", "ok", "it is small"), Finding("user", level, said)))
            for runner, level, said in findings
        )
        checked = Checked(IMAGE, findings[0][0], verdicts, digest="sha256:1", size=2048)
        looked_into = Checked(IMAGE, findings[0][0], verdicts, digest="sha256:2", pulled=True)
        system = SimpleNamespace(
            process=SimpleNamespace(), tell=lambda text: print(text, file=sys.stderr)
        )
        monkeypatch.setattr(door, "check_for_here", lambda _spec, _system: checked)
        monkeypatch.setattr(door, "_with_files", lambda _spec, _system: looked_into)
        monkeypatch.setattr(door, "system_for", lambda _parsed: system)
        status = door.main(parse(VERBS["check"], "ces-check", [*words, IMAGE]))
        return (status, *capsys.readouterr())

    return run


@pytest.mark.parametrize(
    ("level", "status", "verdict"),
    [
        ("ok", 0, "works"),
        ("note", 0, "works"),
        ("warning", 0, "works with warnings"),
        ("fault", 1, "will not work"),
    ],
)
def test_the_exit_status_says_whether_it_works(
    check: Callable[..., tuple[int, str, str]], level: str, status: int, verdict: str
) -> None:
    ended, out, err = check([("podman", level, "it is so")])
    assert (ended, err) == (status, "")
    assert f"podman: {verdict}\n" in out


def test_people_see_what_was_found_and_not_what_is_fine(
    check: Callable[..., tuple[int, str, str]],
) -> None:
    _status, out, _err = check([("podman", "warning", "bad \x1b[31m"), ("oci", "ok", "fine")])
    assert out.splitlines() == [
        f"{IMAGE} (sha256:1, 2KiB)",
        "podman: works with warnings",
        r"  warning (user): bad \x1b[31m",
        "oci: works",
    ]


def test_with_verbose_they_see_that_too(check: Callable[..., tuple[int, str, str]]) -> None:
    _status, out, _err = check([("podman", "ok", "fine")], "--verbose")
    assert "  ok (size): it is small\n  ok (user): fine\n" in out


def test_programs_get_all_of_it(check: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _err = check([("podman", "fault", "bad")], "--json")
    said = json.loads(out)
    assert (status, said["works"], said["size"]) == (1, False, 2048)
    assert said["runners"]["podman"]["verdict"] == "will not work"
    assert [one["level"] for one in said["runners"]["podman"]["findings"]] == ["ok", "fault"]


def test_files_are_looked_at_where_that_is_asked_for(
    check: Callable[..., tuple[int, str, str]],
) -> None:
    _status, out, _err = check([("podman", "ok", "fine")], "--json", "--pull")
    assert json.loads(out)["pulled"] is True
    _status, out, _err = check([("podman", "ok", "fine")], "--json")
    assert json.loads(out)["pulled"] is False


def test_runners_under_which_it_works_are_named(check: Callable[..., tuple[int, str, str]]) -> None:
    status, _out, err = check([("podman", "fault", "bad"), ("oci", "ok", "fine")])
    assert (status, err) == (1, "it works under oci: name that runner\n")


def test_what_the_site_does_not_allow_will_not_work(command: StartCommand) -> None:
    child = command("ces-check", IMAGE)
    out, err = child.communicate("")
    assert (child.returncode, err) == (1, "")
    assert "fault (policy): its registry is not allowed on this back-end" in out


def test_the_man_page_has_the_commands_own_exit_statuses() -> None:
    pages = generated("1")
    check, run, bundle = (pages[f"share/man/man1/ces-{n}.1"] for n in ("check", "run", "bundle"))
    assert "It will not work under that one" in check and "The container" not in check
    assert "\\-\\-pull" in check and "look into its files, too" in check.lower()
    assert "The container ran longer" in run
    assert ".SH EXIT STATUS" not in bundle and ".SH FILES" in bundle
    script = pages["share/bash-completion/completions/ces"]
    assert "run|gpu-run|check|rm)" in script
    assert "--env-file|--opt-file" in script and "ces-check" in script


@pytest.mark.parametrize(
    "words", [[], ["a", "b"], ["no image"], ["./none.sif"], ["--username", "ada", IMAGE]]
)
def test_what_cannot_be_looked_at_is_a_failure(command: StartCommand, words: list[str]) -> None:
    child = command("ces-check", *words)
    out, err = child.communicate("")
    assert (child.returncode, out) == (125, "")
    assert "ces-check" in err and "Traceback" not in err
