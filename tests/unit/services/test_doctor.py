# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole report: whatever fails or hangs, the rest is told."""

from __future__ import annotations

import os
import pwd
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import eventually

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.look import Look, Told
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, NotFound
from ansible_collections.tre.ces.plugins.module_utils.ces.services import doctor
from ansible_collections.tre.ces.plugins.module_utils.ces.services.doctor import (
    SUBJECTS,
    Subject,
    diagnose,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.as_user import Looking
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import StopSignals
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import Finding

FINE = Finding("fine", "ok", "it is well")


def nothing(_facts: object, _policy: object) -> Iterator[Told]:
    return iter(())


def subject(name: str, work: Callable[..., Any], **how: Any) -> Subject:
    looks = (Look("fine", "it is well", nothing),)
    return Subject(name, lambda: (looks, lambda _here: work()), personal=False, **how)


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Finding]]:
    """``looking(WORK...)``: what is found of subjects that do that, named 0, 1, ..."""

    def run(*works: Callable[..., Any]) -> dict[str, Finding]:
        numbered = enumerate(works)
        subjects = tuple(subject(str(number), work, seconds=1.0) for number, work in numbered)
        monkeypatch.setattr(doctor, "SUBJECTS", subjects)
        return {one.check: one for one in diagnose().findings}

    return run


def fail(error: Exception) -> Callable[..., Any]:
    def work() -> None:
        raise error

    return work


def test_what_fails_is_a_finding_and_the_rest_is_told(
    looking: Callable[..., dict[str, Finding]],
) -> None:
    found = looking(
        fail(RuntimeError("odd")),
        fail(OSError(5, "Input/output error")),
        fail(CesError("read x", said="no", hint="do")),
        fail(PermissionError(13, "Permission denied", "/etc/x")),
        lambda: os._exit(3),
        lambda: None,
    )
    assert [found[str(number)].level for number in range(5)] == ["fault"] * 3 + ["note", "fault"]
    assert "RuntimeError: odd" in found["0"].said
    assert "could not read x: no. do" in found["2"].said
    assert "/etc/x" in found["3"].said
    assert "died" in found["4"].said
    assert found["fine"] == FINE


def test_what_hangs_holds_up_nothing(looking: Callable[..., dict[str, Finding]]) -> None:
    begin = time.monotonic()
    found = looking(lambda: time.sleep(30), lambda: time.sleep(30), lambda: None)
    assert time.monotonic() - begin < 10
    assert "within 1 s" in found["0"].said
    assert found["fine"] == FINE


def test_what_users_make_up_is_only_words(
    looking: Callable[..., dict[str, Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Looking.answer

    def answering(made_up: dict[str, str]) -> None:
        def answer(self: Looking, _signals: StopSignals | None) -> dict[str, list[dict[str, str]]]:
            whole(self)
            return {"findings": [made_up]}

        monkeypatch.setattr(Looking, "answer", answer)

    answering({"check": "x"})
    assert "no list of findings" in looking(lambda: None)["0"].said
    raw = {"check": "x", "level": "ok", "said": "\x1b[31m" + "y" * 9999, "cure": "", "role": ""}
    answering(raw)
    said = looking(lambda: None)["x"].said
    assert said.startswith(r"\x1b[31my")
    assert len(said) < 3000


def test_only_root_looks_at_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no.such.user", ""):
        with pytest.raises(NotFound, match=f"look at the user '{name}': there is no such account"):
            diagnose(name)
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    with pytest.raises(CesError, match="only root may look at another user"):
        diagnose("root")


@pytest.mark.parametrize("canary", [False, True])
def test_root_is_told_that_no_container_was_run(
    monkeypatch: pytest.MonkeyPatch, canary: bool
) -> None:
    monkeypatch.setattr(doctor, "SUBJECTS", ())
    monkeypatch.setattr(doctor, "user_named", lambda _name: pwd.getpwnam("root"))
    (finding,) = diagnose(canary=canary).findings
    assert ("no container was run" in finding.said) is canary


def test_a_real_user_of_this_host_gets_a_whole_report() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may look at another user")
    found = {one.check for one in diagnose("nobody").findings}
    assert len(found) >= 50
    assert {"user_namespaces", "subid_given", "safe_data", "storage_overlay"} <= found


def test_a_user_gets_no_password_of_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may look at another user")
    monkeypatch.setenv("HTTPS_PROXY", "http://root:s3cret@p:3128")
    monkeypatch.setenv("https_proxy", "http://p:3128")
    monkeypatch.setenv("CONTAINER_HOST", "unix:///roots")

    def tell(found: Mapping[str, str], _policy: object) -> Iterator[Told]:
        yield Told("ok", repr(sorted(found.items())))

    parts = (Look("environ", "", tell),), lambda here: here.account.environ
    monkeypatch.setattr(doctor, "SUBJECTS", (Subject("environ", lambda: parts),))
    (found,) = diagnose("nobody").findings
    assert "http://p:3128" in found.said
    assert "s3cret" not in found.said
    assert "CONTAINER_HOST" not in found.said


def lines_of(word: str) -> list[str]:
    """The arguments of the processes that have this one among theirs."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in words and b"sleep" in words:
            found.append(str(words))
    return found


ASKS = """
from ansible_collections.tre.ces.plugins.module_utils.ces.services import doctor
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import StopSignals

def parts():
    return (), lambda here: here.process.run(Command(("sleep", SECONDS)))

doctor.SUBJECTS = [doctor.Subject(str(n), parts, personal=False, starts=True) for n in range(3)]
with StopSignals() as signals:
    doctor.diagnose(signals=signals)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_who_is_told_to_end_leaves_no_program(number: signal.Signals) -> None:
    seconds = f"61.{os.getpid()}{number}"
    program = f"SECONDS = {seconds!r}\n{ASKS}"
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    ) as asks:
        eventually(lambda: len(lines_of(seconds)) == 3, seconds=20)
        asks.send_signal(number)
        _out, said = asks.communicate(timeout=10)
    assert number == signal.SIGKILL or "Interrupted" in said
    eventually(lambda: not lines_of(seconds), seconds=3)


def test_what_a_users_program_leaves_does_not_stay_with_roots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It leads a session of its own and forgets its parents; root's limits would be its own."""
    if os.geteuid() != 0:
        pytest.skip("only root may look at another user")
    seconds = f"62.{os.getpid()}"

    def find(here: doctor.Around) -> None:
        here.process.run(
            Command(("sh", "-c", f"setsid sh -c 'sleep {seconds} & sleep {seconds}' &"))
        )
        eventually(lambda: len(lines_of(seconds)) == 2, seconds=10)

    # the interpreter of JavaScript that another test loads has reserved more than children may
    monkeypatch.setattr(doctor, "_MEMORY", resource.RLIM_INFINITY)
    parts = (Look("fine", FINE.said, nothing),), find
    monkeypatch.setattr(doctor, "SUBJECTS", (Subject("0", lambda: parts, starts=True),))
    assert diagnose("nobody").findings == (FINE,)
    assert not lines_of(seconds)
    # nor do we go on adopting the processes of others
    with subprocess.Popen(["sh", "-c", "sleep 0.1 & "]):
        pass
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, 0)


def test_a_user_may_look_at_oneself() -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert diagnose(me).user == me


def test_subjects_have_names_of_their_own() -> None:
    names = [one.name for one in SUBJECTS]
    assert len(set(names)) == len(names)
