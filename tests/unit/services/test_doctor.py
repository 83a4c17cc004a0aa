# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole report: whatever fails or hangs, the rest is told."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, NotFound
from ansible_collections.tre.ces.plugins.module_utils.ces.services import doctor
from ansible_collections.tre.ces.plugins.module_utils.ces.services.doctor import (
    SUBJECTS,
    Subject,
    diagnose,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import Finding

FINE = Finding("fine", "ok", "it is well")


def subject(name, work, **how) -> Subject:
    def find(_here) -> Iterator[Finding]:
        yield from work() or (FINE,)

    return Subject(name, find, personal=False, **how)


@pytest.fixture
def looking(monkeypatch):
    """``looking(WORK...)``: what is found of subjects that do that, named 0, 1, ..."""

    def run(*works):
        numbered = enumerate(works)
        subjects = tuple(subject(str(number), work, seconds=1.0) for number, work in numbered)
        monkeypatch.setattr(doctor, "SUBJECTS", subjects)
        return {one.check: one for one in diagnose().findings}

    return run


def fail(error):
    def work():
        raise error

    return work


def test_what_fails_is_a_finding_and_the_rest_is_told(looking):
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


def test_what_hangs_holds_up_nothing(looking):
    begin = time.monotonic()
    found = looking(lambda: time.sleep(30), lambda: time.sleep(30), lambda: None)
    assert time.monotonic() - begin < 10
    assert "within 1 s" in found["0"].said
    assert found["fine"] == FINE


def test_what_users_make_up_is_only_words(looking, monkeypatch):
    whole = doctor.Looking.answer

    def answering(made_up):
        def answer(self):
            whole(self)
            return {"findings": [made_up]}

        monkeypatch.setattr(doctor.Looking, "answer", answer)

    answering({"check": "x"})
    assert "no list of findings" in looking(lambda: None)["0"].said
    raw = {"check": "x", "level": "ok", "said": "\x1b[31m" + "y" * 9999, "cure": "", "role": ""}
    answering(raw)
    said = looking(lambda: None)["x"].said
    assert said.startswith(r"\x1b[31my")
    assert len(said) < 3000


def test_only_root_looks_at_others(monkeypatch):
    with pytest.raises(NotFound, match=r"no\.such\.user"):
        diagnose("no.such.user")
    monkeypatch.setattr(doctor.os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    with pytest.raises(CesError, match="only root may look at another user"):
        diagnose("root")


@pytest.mark.parametrize("canary", [False, True])
def test_root_is_told_that_no_container_was_run(monkeypatch, canary):
    monkeypatch.setattr(doctor, "SUBJECTS", ())
    monkeypatch.setattr(doctor, "user_named", lambda _name: pwd.getpwnam("root"))
    (finding,) = diagnose(canary=canary).findings
    assert ("no container was run" in finding.said) is canary


def test_a_real_user_of_this_host_gets_a_whole_report():
    if os.geteuid() != 0:
        pytest.skip("only root may look at another user")
    found = {one.check for one in diagnose("nobody").findings}
    assert len(found) >= 50
    assert {"user_namespaces", "subid_given", "safe_data", "storage_overlay"} <= found


def test_a_user_gets_no_password_of_roots(monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("only root may look at another user")
    monkeypatch.setenv("HTTPS_PROXY", "http://root:s3cret@p:3128")
    monkeypatch.setenv("https_proxy", "http://p:3128")
    monkeypatch.setenv("CONTAINER_HOST", "unix:///roots")

    def find(here):
        yield Finding("environ", "ok", repr(sorted(here.account.environ.items())))

    monkeypatch.setattr(doctor, "SUBJECTS", (Subject("environ", find),))
    (found,) = diagnose("nobody").findings
    assert "http://p:3128" in found.said
    assert "s3cret" not in found.said
    assert "CONTAINER_HOST" not in found.said


def test_a_user_may_look_at_oneself():
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert diagnose(me).user == me


def test_subjects_have_names_of_their_own():
    names = [one.name for one in SUBJECTS]
    assert len(set(names)) == len(names)
