# SPDX-License-Identifier: GPL-3.0-or-later
"""A form asks ces-check: with which words, what it makes of the answer, and where it asks nobody.

What the real program answers is in the scenario ood.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from ood_support import LARGE, Portal

APP = "batch_container_app"
IMAGE = "registry.example.org/project/image:2.1"
RIGHT: dict[str, Any] = {
    "cluster": "asking",
    "image": IMAGE,
    "runner": "podman",
    "cores": "1",
    "memory": "1",
    "gpus": "0",
}
TOKEN = 'it\'s a "t0ken" $HOME `id`'  # noqa: S105


class Asked:
    """A program in place of ces-check, and what it was asked."""

    def __init__(self, portal: Portal) -> None:
        self.portal, self.program = portal, portal.place / "ces-check"
        self.written = portal.place / "asked"
        portal.place.mkdir(parents=True, exist_ok=True)
        self.has()

    def has(self, **ces: Any) -> None:
        """The cluster asks it, with these settings beside."""
        check = {"image_check": [str(self.program), "--elsewhere"]}
        self.portal.has_cluster("asking", {**LARGE, **check, **ces})

    def says(self, text: str, status: int = 1, before: str = "") -> None:
        self.program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >{self.written}.words\ncat >{self.written}.stdin\n'
            f"{before}\ncat <<'END'\n{text}\nEND\nexit {status}\n"
        )
        self.program.chmod(0o755)

    def prints(self, raw: bytes, status: int = 1) -> None:
        """These bytes alone."""
        answer = self.portal.place / "answer"
        answer.write_bytes(raw)
        self.program.write_text(f"#!/bin/sh\ncat {answer}\nexit {status}\n")
        self.program.chmod(0o755)

    def finds(self, *findings: tuple[str, str, str, str], runner: str = "podman") -> None:
        names = ("check", "level", "said", "cure")
        told = [dict(zip(names, finding)) for finding in findings]
        self.says(json.dumps({"runners": {runner: {"findings": told}}}))

    @property
    def words(self) -> list[str]:
        return self.written.with_suffix(".words").read_text().splitlines()

    @property
    def stdin(self) -> str:
        return self.written.with_suffix(".stdin").read_text()

    def check(self, **values: Any) -> str:
        """What the form is refused with; empty where it is not."""
        return str(self.portal.check(APP, **{**RIGHT, **values}).get("error", ""))


@pytest.fixture
def asked(portal: Portal) -> Asked:
    return Asked(portal)


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory in the home of who fills in the form."""
    with TemporaryDirectory(dir=Path.home()) as path:
        yield Path(path)


def test_what_cannot_work_is_said_at_its_field(asked: Asked) -> None:
    asked.finds(
        ("policy", "ok", "the site allows it", ""),
        ("registry", "fault", "the registry has no such image or tag", "check the image's name."),
        ("user", "warning", "it runs as the user '1000'", ""),
    )
    said = asked.check()
    assert said == "Image: the registry has no such image or tag: check the image's name."
    assert asked.words == ["podman", "--elsewhere", "--json", IMAGE]
    assert asked.stdin == ""


def test_all_that_is_wrong_is_said_in_the_forms_own_words(asked: Asked) -> None:
    hint = "the image may be private: give a user name and token (ces-pull --username)"
    asked.finds(
        ("login", "fault", "it does not show this image to everybody", hint),
        ("network", "fault", "apptainer has no network 'bridge'", "use podman"),
        runner="apptainer",
    )
    assert asked.check(runner="apptainer") == (
        "Registry user: it does not show this image to everybody: the image may be private: give a"
        " user name and token (Registry user and Registry token). If you ran podman login on the"
        " cluster, write the file that it made into Credentials file:"
        f" /run/user/{os.getuid()}/containers/auth.json."
        " Runner: apptainer has no network 'bridge': use podman."
    )


def test_a_token_goes_to_standard_input_alone_and_is_wiped_when_refused(asked: Asked) -> None:
    asked.finds(("login", "fault", "it does not accept the user name and token", "check both"))
    (answer,) = asked.portal.ask(
        {"check": APP, "values": {**RIGHT, "registry_user": "ada", "registry_token": TOKEN}}
    )
    assert answer["error"].startswith("Registry token: it does not accept the user name")
    assert TOKEN not in json.dumps(answer)
    assert asked.stdin == TOKEN and TOKEN not in asked.words
    assert asked.words[2:] == ["--username", "ada", "--password-stdin", "--json", IMAGE]


@pytest.mark.parametrize(
    ("text", "words", "stdin"),
    [
        (f"{TOKEN}\n", ["--username", "ada", "--password-stdin"], f"{TOKEN}\n"),
        (' {"auths": {}}', ["--authfile", "FILE"], ""),
    ],
)
def test_a_credentials_file_is_used_as_the_job_does(
    asked: Asked, home: Path, text: str, words: list[str], stdin: str
) -> None:
    file = home / "token"
    file.write_text(text)
    asked.finds(("login", "fault", "no", ""))
    said = asked.check(registry_user="ada", credentials_file=str(file))
    assert said == "Credentials file: no."
    words = [str(file) if word == "FILE" else word for word in words]
    assert asked.words[2:] == [*words, "--json", IMAGE]
    assert asked.stdin == stdin


def test_nobody_is_asked_where_the_credentials_are_not_to_be_had(
    asked: Asked, home: Path, tmp_path: Path
) -> None:
    asked.finds(("registry", "fault", "no", ""))
    file = home / "token"
    assert asked.check(registry_user="ada", credentials_file=str(file)) == ""
    file.write_text(TOKEN)
    # a token alone belongs to a user
    assert asked.check(credentials_file=str(file)) == ""
    # the node has a /tmp and a /run of its own
    other = tmp_path / "token"
    other.write_text(TOKEN)
    link = home / "link"
    link.symlink_to(other)
    for path in (other, link):
        assert asked.check(registry_user="ada", credentials_file=str(path)) == ""
    assert asked.check(registry_user="ada", credentials_file=str(file)) == "Image: no."
    # and of another home this file says nothing
    asked.has(shared_home=False)
    assert asked.check(registry_user="ada", credentials_file=str(file)) == ""
    assert asked.check() == "Image: no."


def test_an_image_file_that_is_reused_and_other_apps_ask_nobody(asked: Asked) -> None:
    asked.finds(("registry", "fault", "no", ""), runner="apptainer")
    assert asked.check(runner="apptainer") == "Image: no."
    assert asked.check(runner="apptainer", reuse_sif="1") == ""
    values = {"cluster": "asking", "cores": "1", "memory": "1"}
    assert "error" not in asked.portal.check("jupyter_app", **values)


def test_fields_are_checked_first(asked: Asked) -> None:
    asked.finds(("registry", "fault", "no", ""))
    assert asked.check(cores="99").startswith("Cores: ")
    assert not asked.written.with_suffix(".words").exists()


def test_a_launch_that_is_let_through_is_not_checked_again(asked: Asked) -> None:
    asked.says("{}", status=0, before=f"echo x >>{asked.written}.count")
    answer = asked.portal.launch(APP, **RIGHT)
    assert "error" not in answer
    assert asked.written.with_suffix(".count").read_text() == "x\n"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        # it works; it could not be looked at; it is another program; the back-end is down
        ('{"runners": {"podman": {"findings": [{"level": "fault"}]}}}', 0),
        ("", 125),
        ("no JSON", 1),
        ("[]", 1),
        ('{"runners": {}}', 1),
        ("", 1),
    ],
)
def test_without_an_answer_the_job_is_queued(asked: Asked, text: str, status: int) -> None:
    asked.says(text, status)
    assert asked.check() == ""


FAULT = {"check": "registry", "level": "fault", "said": "no", "cure": ""}


def answer_with(findings: Any) -> bytes:
    return json.dumps({"runners": {"podman": {"findings": findings}}}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        # a program that ends by an error of its own, ssh that does not get there
        b"",
        b"null",
        b'"runners"',
        b"[" * 200,
        b'{"runners": []}',
        b'{"runners": "podman"}',
        b'{"runners": {"podman": 5}}',
        b"\xff\xfe{}",
        answer_with("fault"),
        answer_with(FAULT),
        answer_with([5, "fault", None, []]),
        answer_with([{"level": "fault"}]),
        answer_with([{**FAULT, "said": " "}, {**FAULT, "cure": None}, {**FAULT, "check": 1}]),
        answer_with([FAULT]).replace(b"no", b"n\xff"),
        answer_with([FAULT]).replace(b"no", b"n\\ud800"),
    ],
)
def test_an_answer_of_another_form_keeps_nobody_from_the_queue(asked: Asked, raw: bytes) -> None:
    asked.prints(raw)
    assert asked.check() == ""


def test_an_answer_may_have_any_letters(asked: Asked) -> None:
    asked.prints(answer_with([FAULT]).replace(b"no", "größer".encode()))
    assert asked.check() == "Image: größer."


@pytest.mark.parametrize("seconds", [0, -1, "ten", None, [], True, "1e9"])
def test_a_time_that_is_none_is_the_usual_one(asked: Asked, seconds: Any) -> None:
    asked.has(image_check_seconds=seconds)
    asked.finds(("registry", "fault", "no", ""))
    assert asked.check() == "Image: no."


def test_without_the_program_the_job_is_queued(asked: Asked) -> None:
    assert asked.check() == ""


def test_a_program_that_does_not_answer_is_ended(asked: Asked) -> None:
    asked.has(image_check_seconds=1)
    asked.says("", before=f"trap 'echo >{asked.written}.ended; exit' TERM; sleep 60 & wait")
    begin = time.monotonic()
    assert asked.check() == ""
    assert 0.9 < time.monotonic() - begin < 5
    deadline = time.monotonic() + 5
    while not asked.written.with_suffix(".ended").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert asked.written.with_suffix(".ended").exists()


def test_a_program_that_does_not_end_when_told_is_killed(asked: Asked) -> None:
    asked.has(image_check_seconds=1)
    asked.program.write_text(f"#!/bin/sh\ntrap '' TERM\necho $$ >{asked.written}.pid\nsleep 60\n")
    asked.program.chmod(0o755)
    begin = time.monotonic()
    assert asked.check() == ""
    assert time.monotonic() - begin < 5
    process = Path("/proc") / asked.written.with_suffix(".pid").read_text().strip()
    deadline = time.monotonic() + 5
    while process.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not process.exists()
