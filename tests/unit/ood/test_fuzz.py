# SPDX-License-Identifier: GPL-3.0-or-later
"""Two thousand hostile values, over all fields of all forms.

None reaches a shell, breaks YAML or adds to it. First whole forms are sent in which every field is
hostile: the answer names those that are refused. The values that are accepted are put into forms
again, staged and really used: bash reads what was rendered, and the scripts run, with stand-ins for
the commands that show the words they were given. A canary is a file that appears if anything of a
value is executed.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ood_support import APPS, Portal

COUNT = 2000
RAN = 40
"""Sessions whose scripts run as a whole."""
USUAL = {
    "cluster": "large",
    "image": "registry.example.org/project/image:2.1",
    "runner": "podman",
    "cores": "1",
    "memory": "1",
    "gpus": "0",
}
# where a value would be executed, if it were
SHELL = (
    *("$({})", "`{}`", "; {} ;", "'; {} #", '"; {} #', "\n{}\n", "| {}", "& {} &", "a=$(\n{})"),
    *("\\'; {} #", "<({})", "${{x:-$({})}}"),
)
WORDS = r"""
a ' " \ \\ $HOME ~ * ? [a] {a,b} ! # -rf --help %s % %% é ß 漢字 &x *x --- ... null true 0x10
1_000 1e3 {} [] | > @ ` #{exit} <script> A=1 A=$(x) LD_PRELOAD=/x --privileged ~/t /etc/shadow
registry.example.org/a large podman 1 9999999999 ../../../etc
"""
ODD = (
    *WORDS.split(),
    *("", "x y", ": b", "- b", "<<: *x", "<%= 1 %>", "<% exit %>", "-v /:/host", "B='1\n2'"),
    *("!ruby/object:Gem::Installer {}", "x" * 5000, "\t", "\r\n", "\n", "\r", "\x00", "\x07"),
    *("\x1b[2J", "\x7f", "\x85", "\u2028", "\ufeff", "\ufffe", "\U0001f600", "\u202e"),
)


def canary(place: Path) -> str:
    return f"touch {place}/canary"


def hostile(chance: random.Random, place: Path) -> str:
    parts = chance.choices(ODD, k=chance.randint(1, 3))
    if chance.random() < 0.5:
        parts.insert(chance.randint(0, len(parts)), chance.choice(SHELL).format(canary(place)))
    return "".join(parts)


def quoted(chance: random.Random, place: Path) -> str:
    """As a user would who knows what is refused: it gets past the checks more often."""
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u202e\ufeff\ufffe]", " ", hostile(chance, place))
    return chance.choice(("A={}", "'{}'", "~/{}", "/{}", "{}")).format(text)


@pytest.fixture(scope="module")
def sent(any_portal: Portal, forms: dict[str, Any]) -> list[dict[str, Any]]:
    """Forms that are hostile all over, 2,000 values in all."""
    chance = random.Random(20260131)  # noqa: S311  the same values each time
    wanted: list[dict[str, Any]] = []
    count = 0
    while count < COUNT:
        app = APPS[len(wanted) % len(APPS)]
        make = chance.choice((hostile, quoted, quoted))
        values = {name: make(chance, any_portal.place) for name in forms[app]["form"]}
        # without a cluster there are no limits that other fields could be checked by
        if len(wanted) % 10:
            values["cluster"] = "large"
        wanted.append({"check": app, "values": values})
        count += len(values) - 1 if len(wanted) % 10 else 1
    return wanted


@pytest.fixture(scope="module")
def answers(any_portal: Portal, sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return any_portal.ask(*sent)


@pytest.fixture(scope="module")
def good(
    forms: dict[str, Any], sent: list[dict[str, Any]], answers: list[dict[str, Any]]
) -> dict[str, dict[str, list[str]]]:
    """The values that were not refused, by app and field."""
    found: dict[str, dict[str, list[str]]] = {
        app: {name: [] for name in forms[app]["form"]} for app in APPS
    }
    for request, answer in zip(sent, answers):
        if request["values"]["cluster"] != "large":
            continue
        app = request["check"]
        for name, value in request["values"].items():
            label = forms[app]["attributes"][name]["label"].split(", up to ")[0]
            if f"{label}: " not in answer.get("error", ""):
                found[app][name].append(value)
    return found


@pytest.fixture(scope="module")
def accepted(
    any_portal: Portal, good: dict[str, dict[str, list[str]]]
) -> list[tuple[dict[str, Any], Path]]:
    """All of them again, in forms that are accepted: what was sent, and the session's directory."""
    wanted = []
    for app, fields in good.items():
        for number in range(max(map(len, fields.values()))):
            values = {
                name: values[number % len(values)] for name, values in fields.items() if values
            }
            if app != "greetings_app":
                # a token or a file, and a user with either
                values["registry_user"] = (
                    values["registry_user"].strip() and values["registry_user"]
                ) or "ada"
                values["registry_token" if number % 3 == 0 else "credentials_file"] = ""
            wanted.append({"launch": app, "values": {**USUAL, **values}, "submit": False})
    answers = any_portal.ask(*wanted)
    assert [
        answer for answer in answers if "error" in answer and "Registry" not in answer["error"]
    ] == []
    return [
        (request, Path(answer["directory"]))
        for request, answer in zip(wanted, answers)
        if "id" in answer
    ]


def some(found: list[Any]) -> list[Any]:
    return random.Random(1).sample(found, min(RAN, len(found)))  # noqa: S311


def text_of(value: str) -> str:
    """A value as it is after the checks."""
    return re.sub(r"\r\n?", "\n", value).strip(" \t\n\v\f\r\0")


TEXTS = (
    "registry_token",
    "credentials_file",
    "container_env",
    "container_args",
    "engine_args",
    "greeting",
)


def test_a_form_is_accepted_or_refused_with_words(
    sent: list[dict[str, Any]], answers: list[dict[str, Any]], good: dict[str, dict[str, list[str]]]
) -> None:
    assert {answer.get("class", "accepted") for answer in answers} <= {"accepted", "Refused"}
    tried = {name: len(values) for fields in good.values() for name, values in fields.items()}
    assert all(
        tried[name] > 10 for name in TEXTS
    ), f"so many are refused that little is tried: {tried}"


def test_what_slurm_is_asked_for_is_what_it_would_be_otherwise(
    accepted: list[tuple[dict[str, Any], Path]],
) -> None:
    for _request, directory in accepted:
        script = json.loads((directory / "job_script_options.json").read_text())
        assert set(script) <= {
            "job_name",
            "wall_time",
            "rerunnable",
            "native",
            "queue_name",
            "accounting_id",
        }
        assert re.fullmatch(r"[A-Za-z0-9._:@-]+", script["job_name"])
        assert all(re.fullmatch(r"--?[a-z:=A-Z0-9-]+|\d+", word) for word in script["native"])


def test_bash_reads_every_script(accepted: list[tuple[dict[str, Any], Path]]) -> None:
    scripts = {
        file.read_bytes() for _request, directory in accepted for file in directory.rglob("*.sh")
    }
    for script in scripts:
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), script


SETTINGS = {
    "batch_container_app": {
        "ces_image": "image",
        "ces_user": "registry_user",
        "ces_credentials_file": "credentials_file",
    },
    "jupyter_app": {"ces_work_dir": "work_dir", "ces_project": "project"},
}


def test_bash_finds_the_values_that_were_sent(
    any_portal: Portal, accepted: list[tuple[dict[str, Any], Path]]
) -> None:
    """Settings are read by bash as the job reads them."""
    assert set(SETTINGS) == {
        request["launch"] for request, directory in accepted if (directory / "settings.sh").exists()
    }
    for app, settings in SETTINGS.items():
        staged = [
            (request, directory) for request, directory in accepted if request["launch"] == app
        ]
        bash_finds(any_portal, staged, settings)


def bash_finds(
    any_portal: Portal, staged: list[tuple[dict[str, Any], Path]], settings: dict[str, str]
) -> None:
    names = " ".join(f'"${name}"' for name in settings)
    script = f'for d; do (cd "$d" && . ./settings.sh && printf "%s\\0" {names}); done'
    done = subprocess.run(
        ["bash", "-c", script, "_", *(str(directory) for _request, directory in staged)],
        capture_output=True,
        check=True,
        cwd=any_portal.place,
    )
    found = done.stdout.decode().split("\0")[:-1]
    wanted = [
        text_of(request["values"].get(name, ""))
        for request, _directory in staged
        for name in settings.values()
    ]
    assert found == wanted
    assert done.stderr == b""


def test_files_hold_what_was_sent(accepted: list[tuple[dict[str, Any], Path]]) -> None:
    files = {
        "options.txt": "engine_args",
        "environment.txt": "container_env",
        "arguments.txt": "container_args",
    }
    for request, directory in accepted:
        for file, name in files.items():
            wanted = (
                text_of(request["values"].get(name, ""))
                if request["launch"] == "batch_container_app"
                else ""
            )
            there = (directory / file).read_text() if (directory / file).exists() else ""
            assert there == (f"{wanted}\n" if wanted else "")


@pytest.fixture(scope="module")
def stand_ins(any_portal: Portal) -> dict[str, str]:
    """An environment in which the commands only show what they are told."""
    place = any_portal.place / "bin"
    place.mkdir()
    for name in ("ces-pull", "ces-run"):
        (place / name).write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" >>"$TOLD.{name}"\n')
        (place / name).chmod(0o755)
    home = any_portal.place / "home"
    home.mkdir()
    return {"PATH": f"{place}:{os.environ['PATH']}", "HOME": str(home)}


def told(directory: Path, name: str) -> list[str]:
    file = directory / f"told.{name}"
    return file.read_text().split("\0")[:-1] if file.exists() else []


def test_the_commands_are_told_what_was_sent_and_nothing_else(
    accepted: list[tuple[dict[str, Any], Path]], stand_ins: dict[str, str]
) -> None:
    staged = [item for item in accepted if item[0]["launch"] == "batch_container_app"]
    tried = some(staged)
    for request, directory in tried:
        values = request["values"]
        script = 'cd "$1"; . ./before.sh; ./script.sh'
        env = {**stand_ins, "TOLD": f"{directory}/told"}
        subprocess.run(
            ["bash", "-c", script, "_", directory], env=env, capture_output=True, check=False
        )
        image = text_of(values["image"])
        if text_of(values.get("credentials_file", "")):
            # there is no such file
            assert told(directory, "ces-pull") == told(directory, "ces-run") == []
            continue
        credentials = []
        if values.get("registry_token"):
            credentials = ["--username", text_of(values["registry_user"]), "--password-stdin"]
        runner = text_of(values["runner"]) or "podman"
        reuse = runner == "apptainer" and values.get("reuse_sif", "0") in ("1", "true", "yes", "on")
        assert told(directory, "ces-pull") == [runner, *credentials, image]
        words = told(directory, "ces-run")
        name = text_of(values.get("container_name", "")) or directory.name
        assert words[0] == runner
        assert words[words.index("--name") + 1].endswith(name)
        assert words[-1].endswith(".sif") if reuse else words[-1] == image
        assert not (directory / "registry-token").exists()


def test_a_greeting_is_printed_and_not_executed(
    accepted: list[tuple[dict[str, Any], Path]], stand_ins: dict[str, str]
) -> None:
    staged = [item for item in accepted if item[0]["launch"] == "greetings_app"]
    for request, directory in some(staged):
        done = subprocess.run(
            [directory / "script.sh"], env=stand_ins, capture_output=True, text=True, check=True
        )
        greeting = text_of(request["values"].get("greeting", "")) or "Hello"
        assert f"{greeting} " in done.stdout
        assert done.stderr == ""


def test_cards_show_what_was_sent_as_text(
    any_portal: Portal, accepted: list[tuple[dict[str, Any], Path]]
) -> None:
    tried = some(accepted)
    for _request, directory in tried:
        # what a program of the user's may have written there
        (directory / "progress").write_text(
            "step run\nrc 1\nstate FAILED\nreason </div><script>alert(1)</script> **b**\n"
        )
    asked = [{"card": d.name, "app": request["launch"], "completed": True} for request, d in tried]
    for card in any_portal.ask(*asked):
        assert "error" not in card
        for html in filter(None, card.values()):
            assert (
                re.sub(r"</?(div|p|strong|table|tr|th|td|ul|li|a)\b[^<>]*>", "", html).count("<")
                == 0
            )
            assert "\n\n" not in html.strip()
            assert "script>" not in html


def test_nothing_of_a_value_was_executed(
    any_portal: Portal, accepted: list[tuple[dict[str, Any], Path]]
) -> None:
    """Run last; a canary that is executed does appear."""
    assert accepted
    assert not (any_portal.place / "canary").exists()
    subprocess.run(["bash", "-c", f"x={SHELL[0].format(canary(any_portal.place))}"], check=True)
    assert (any_portal.place / "canary").exists()
    (any_portal.place / "canary").unlink()
