# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles hear of a host: the rows that they named, and what each of them comes to."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.look import Look, Told
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import InvalidValue, NotFound
from ansible_collections.tre.ces.plugins.module_utils.ces.services import host_check
from ansible_collections.tre.ces.plugins.module_utils.ces.services.doctor import (
    CANARY,
    Given,
    Subject,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.host_check import Asked, judge
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host import ground as host_ground
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.mounts import Mount

ME = pwd.getpwuid(os.geteuid()).pw_name


def asked(**changes: Any) -> Asked:
    given: dict[str, Any] = {
        "users": [ME],
        "subjects": ["things"],
        "refuse": [],
        "strict": [],
        "tell": [],
    }
    given |= {"given": Given({"runners": ("oci",)}, changes.pop("root", ""))}
    return Asked("podman", **{**given, **changes})


Make = Callable[..., None]


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Make:
    """``subject(FIND)``: the doctor has one subject, with a row for each level."""

    def row(level: str) -> Look:
        return Look(level, "", lambda found, _policy: iter([Told(level, str(found), "mend it")]))

    def make(find: Callable[..., object], **how: Any) -> None:
        looks = tuple(map(row, ("fault", "warning", "note", "ok")))
        one = Subject("things", lambda: (looks, find), **how)
        monkeypatch.setattr(host_check, "SUBJECTS", (one,))

    return make


def test_rows_that_are_not_named_are_not_judged(subject: Make) -> None:
    subject(lambda here: here.policy.runners, alike=True)
    (only,) = judge(asked(refuse=["warning"]))
    assert (only.check, only.said) == ("warning", "('oci',)")
    assert judge(asked(tell=["ok"])) == []


def test_faults_refuse_and_warnings_do_where_they_are_strict(subject: Make) -> None:
    subject(lambda _here: "x")
    names = ["fault", "warning", "note"]
    for how, refused in (("refuse", ["fault"]), ("strict", names[:2]), ("tell", [])):
        question = asked(**{how: names})
        found = judge(question)
        assert [one.check for one in found] == names
        assert [one.check for one in found if question.refuses(one)] == refused


def test_what_is_one_users_is_told_with_the_users_name(subject: Make) -> None:
    subject(lambda _here: "x")
    assert judge(asked(refuse=["fault"]))[0].said == f"{ME}: x"
    subject(lambda _here: "x", alike=True)
    assert judge(asked(refuse=["fault"]))[0].said == "x"


def test_a_role_may_have_a_place_that_is_not_configured_yet(subject: Make) -> None:
    subject(lambda here: here.given.storage_root)
    assert judge(asked(refuse=["fault"], root="/srv/x"))[0].said == f"{ME}: /srv/x"


@pytest.mark.parametrize(("personal", "refused"), [(True, False), (False, True)])
def test_a_host_that_cannot_be_looked_at_is_refused_and_a_user_is_told(
    subject: Make, personal: bool, refused: bool
) -> None:
    def fail(_here: object) -> None:
        raise RuntimeError("odd")

    subject(fail, personal=personal)
    question = asked(tell=["note"], refuse=["fault"])
    (found,) = judge(question)
    assert f"{ME}: things could not be looked at: RuntimeError: odd" in found.said
    assert question.refuses(found) is refused


def test_a_subject_of_which_no_row_is_named_is_not_looked_at(subject: Make) -> None:
    subject(lambda _here: 1 / 0)
    assert judge(asked()) == []


def test_a_canary_that_dies_refuses_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = CANARY.parts()[0]
    dying = Subject("canary", lambda: (looks, lambda _here: os._exit(3)))
    monkeypatch.setattr(host_check, "CANARY", dying)
    question = asked(subjects=["canary"], strict=["canary_oci"])
    (found,) = judge(question)
    assert "died" in found.said
    assert question.refuses(found)


def test_a_row_that_is_not_there_is_a_mistake_and_so_is_a_user(subject: Make) -> None:
    subject(lambda _here: "x")
    with pytest.raises(InvalidValue, match="none of things has it"):
        judge(asked(refuse=["fault", "no_such_row"]))
    with pytest.raises(NotFound, match=r"no\.such\.user"):
        judge(asked(users=["no.such.user"], refuse=["fault"]))


def test_a_user_who_is_not_there_is_one_finding_of_the_ground(subject: Make) -> None:
    subject(lambda _here: "x")
    question = asked(
        users=["no.such.user"], subjects=["ground", "things"], refuse=["users_known", "fault"]
    )
    (found,) = judge(question)
    assert "podman_users names users that this host does not know: no.such.user" in found.said
    assert question.refuses(found)


@pytest.mark.parametrize(("given", "refused"), [(None, True), (["ext9"], False), (["nfs4"], True)])
def test_a_site_may_name_the_file_systems_that_it_refuses(
    monkeypatch: pytest.MonkeyPatch, given: list[str] | None, refused: bool
) -> None:
    monkeypatch.setattr(host_ground, "mount_of", lambda _path: Mount("/srv", "nfs4", ()))
    question = asked(
        subjects=["ground"], refuse=["root_file_system"], root="/srv/x", refused_file_systems=given
    )
    assert bool(judge(question)) is refused


def test_the_real_tables_have_what_the_roles_name() -> None:
    """As the roles podman and container_storage ask, on this machine."""
    if os.geteuid() != 0:
        pytest.skip("only root may look as another user")
    judge(
        asked(
            subjects=["ground", "isolation", "configuration"],
            refuse=["users_known", "net_namespaces", "cgroup_version", "controllers"],
            strict=["own_storage_conf", "databases"],
            tell=["site_containers_conf", "old_storage", "storage_moved"],
        )
    )
