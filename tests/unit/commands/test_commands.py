# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands as processes: what others can see of a token, exit statuses, errors in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ces_commands.parse import Parsed
from support import StartCommand, eventually

TOKEN = "t0ken-$x'\"`id` y"  # noqa: S105  what must be seen nowhere
IMAGE = "registry.example.org/app:1"
ROOT = Path(__file__).resolve().parents[3]


def _arguments(child: subprocess.Popen[str]) -> list[str]:
    return Path(f"/proc/{child.pid}/cmdline").read_bytes().decode().split("\0")[:-1]


def test_a_token_on_the_command_line_is_hidden_at_once(command: StartCommand) -> None:
    # it reads standard input, and so is there to be looked at
    child = command("ces-pull", "podman", "ada", TOKEN, IMAGE, "--password-stdin")
    eventually(lambda: "******" in _arguments(child))
    assert TOKEN not in " ".join(_arguments(child))
    assert _arguments(child)[-4:] == ["ada", "******", IMAGE, "--password-stdin"]
    environ = Path(f"/proc/{child.pid}/environ").read_bytes()
    assert TOKEN.encode() not in environ
    out, err = child.communicate("secret\n")
    assert "can be seen by others; use --username with --password-stdin" in err
    assert TOKEN not in out + err


def test_a_token_that_is_also_the_users_name_is_the_one_hidden(command: StartCommand) -> None:
    child = command("ces-pull", "same", "same", IMAGE, "--password-stdin")
    eventually(lambda: "******" in _arguments(child))
    assert _arguments(child)[-4:] == ["same", "******", IMAGE, "--password-stdin"]
    child.communicate("")


def test_empty_words_for_user_and_token_are_anonymous_and_no_warning(command: StartCommand) -> None:
    out, err = command("ces-pull", "podman", "", "", IMAGE).communicate()
    assert "can be seen by others" not in err
    assert "could not use image" in err
    assert out == ""


@pytest.mark.parametrize(
    ("name", "words", "status", "said"),
    [
        ("ces-pull", [IMAGE], 125, "no runner named: using podman"),
        ("ces-pull", [IMAGE], 125, "its registry is not allowed on this back-end"),
        ("ces-pull", ["no image"], 125, "answer: it contains white space"),
        ("ces-pull", ["--username", "ada", IMAGE], 125, "there is no password for it"),
        ("ces-pull", ["--nonsense"], 125, "there is no option --nonsense\nces-pull --help"),
        ("ces-run", [IMAGE], 125, "could not"),
        ("ces-run", ["--env-file", "/none", IMAGE], 125, "could not read the env file /none"),
        ("ces-runs", ["7"], 125, "could not find run 7"),
        ("ces-runs", ["x"], 125, "could not"),
        ("ces-runs", ["--limit", "x"], 125, "could not"),
        (
            "ces-runs",
            ["--state", "DONE"],
            125,
            "to do:  one of PENDING, RUNNING, COMPLETED, FAILED",
        ),
        ("ces-stop", ["7"], 125, "could not find run 7"),
        ("ces-stop", ["x"], 125, "could not"),
        ("ces-nonsense", [], 125, "there is no such command"),
        ("ces", ["nonsense"], 125, "there is no such command"),
    ],
)
def test_what_fails_says_so_in_words_and_ends_with_125(
    command: StartCommand, name: str, words: list[str], status: int, said: str
) -> None:
    child = command(name, *words)
    out, err = child.communicate("")
    assert (child.returncode, out) == (status, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("ces", ["--help"], "commands:"),
        ("ces", ["--version"], "tre.ces 1.2.3"),
        ("ces", ["run", "--help"], "usage: ces run [podman|"),
        ("ces-run", ["--help"], "usage: ces-run [podman|"),
        ("ces-pm-run", ["--help"], "usage: ces-pm-run [OPTIONS] IMAGE"),
        ("ces-pm-run", ["--version"], "tre.ces 1.2.3"),
        ("ces-clean", [], ""),
        ("ces-runs", ["--json"], "[]"),
    ],
)
def test_what_works_without_an_engine_ends_with_0(
    command: StartCommand, name: str, words: list[str], said: str
) -> None:
    child = command(name, *words)
    out, err = child.communicate("")
    assert (child.returncode, err) == (0, "")
    assert said in out


def test_a_state_may_be_written_in_small_letters(command: StartCommand, tmp_path: Path) -> None:
    run = tmp_path / "home/.local/state/ces/runs/7"
    run.mkdir(mode=0o700, parents=True)
    (run / "run.json").write_text(json.dumps({"run_id": 7, "state": "COMPLETED", "image": IMAGE}))
    out, err = command("ces-runs", "--state", "completed").communicate("")
    assert err == ""
    assert IMAGE in out


def test_a_reader_that_has_seen_enough_is_no_error_in_words(command: StartCommand) -> None:
    child = command("ces-run", "--help")
    assert child.stdin and child.stdout and child.stderr
    child.stdout.close()
    assert child.stderr.read() == ""
    child.stdin.close()
    child.stderr.close()
    assert child.wait() == 125


TYPED = "ghp_16C7e42F292c6912E7710c838347Ae178B4a\x1b[31m"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ces-run", [TYPED]),
        ("ces-run", [f"--{TYPED}"]),
        ("ces-run", ["podman", "--env-file", f"/nowhere/{TYPED}", "registry.example.org/a:1"]),
        ("ces-pull", ["podman", "ada", "registry.example.org/a:1", TYPED]),
        ("ces", [TYPED]),
    ],
)
def test_what_was_typed_in_the_wrong_place_is_no_danger(
    command: StartCommand, name: str, words: list[str]
) -> None:
    _out, said = command(name, *words).communicate(timeout=30)
    assert TYPED[4:20] not in said
    assert said and said.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(5, "Input/output error"), "could not go on: [Errno 5] Input/output error"),
        (RecursionError("too \x1b[31mdeep"), r"could not go on: RecursionError: too \x1b[31mdeep"),
    ],
)
def test_what_nobody_foresaw_is_not_taken_for_the_containers_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    from ces_commands.main import main

    def fail(_parsed: Parsed) -> None:
        raise error

    monkeypatch.syspath_prepend(str(ROOT / "plugins/module_utils"))
    monkeypatch.setitem(sys.modules, "ces_commands.doors.clean", SimpleNamespace(main=fail))
    assert main(["ces-clean"]) == 125
    assert capsys.readouterr().err == f"ces-clean: {said}\n"


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("ces-run", [IMAGE], "could not find the working directory\n  answer: it was removed"),
        ("ces-pull", [IMAGE], "to do:  change to a directory that is there"),
        ("ces-bundle", [IMAGE], "could not find the working directory"),
        # who needs no path goes on
        ("ces-stop", ["7"], "could not find run 7"),
        ("ces-runs", ["7"], "could not find run 7"),
    ],
)
def test_a_working_directory_that_is_gone_is_named(
    command: StartCommand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    words: list[str],
    said: str,
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    _out, err = command(name, *words).communicate()
    assert said in err
