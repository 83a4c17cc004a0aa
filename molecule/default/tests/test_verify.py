# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook verify on good back-ends: all is proved that can be, and nothing is left of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import INVENTORY, BackEnd
from verifying import Verification, login_of, verify

USERS = ("alice", "bob", "carol")
ENGINES = ("podman", "apptainer", "oci")
ALWAYS = (
    *("container", "user", "ids", "safe_outputs", "scratch", "network", "exit_status", "record"),
    "left_behind",
)
"""What is proved of every container here; limits depend on the machine, data on the project."""


@pytest.fixture(scope="module")
def verified(site: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Verification:
    return verify(Path(INVENTORY), tmp_path_factory.mktemp("verified"), **login_of(site))


def test_every_user_is_proved_under_every_engine(verified: Verification) -> None:
    for user in USERS:
        for engine in ENGINES:
            proofs = verified.proofs("debian13", user=user, engine=engine, place="")
            outcomes = {proof["what"]: proof["outcome"] for proof in proofs}
            assert {outcomes[what] for what in ALWAYS} == {"proved"}, proofs
    assert verified.failed("debian13") == set()


def test_an_image_is_pulled_by_its_digest(verified: Verification) -> None:
    pulls = verified.proofs("debian13", what="pull")
    assert {pull["engine"] for pull in pulls} == set(ENGINES)
    assert all("sha256:" in pull["said"] for pull in pulls), pulls


def test_an_engine_that_is_allowed_and_missing_is_what_failed(verified: Verification) -> None:
    """Debian 12 has no apptainer: the policy that allows it there promises too much."""
    failed = verified.failed("debian12")
    assert ("container", "alice", "apptainer") in failed
    assert "podman" not in {engine for _what, _user, engine in failed}
    assert verified.play.rc != 0
    proof, *_others = verified.proofs("debian12", what="container", engine="apptainer")
    assert "role apptainer" in proof["cure"]


def test_a_second_time_changes_nothing_but_the_report(
    verified: Verification, tmp_path: Path
) -> None:
    play = verify(Path(INVENTORY), tmp_path, "--limit=debian13").play.ok()
    # the task that writes the report
    assert "changed=1 " in play.out


def test_nothing_is_left_of_it(verified: Verification, backend: BackEnd) -> None:
    look = "find /home /safe_data /var/lib/tre-ces -name '*ces-verify*' -o -path '*/ces/verify-*'"
    assert backend.says("sh", "-c", look) == ""
    for user in USERS:
        # both directories are there: the containers of the verification were runs
        assert backend.says("ls", f"/home/{user}/.local/state/ces/active") == ""
        uid = backend.says("id", "-u", user).strip()
        assert "run-" not in backend.says("ls", f"/run/user/{uid}/ces")


def test_the_password_is_not_in_the_report(verified: Verification, site: dict[str, Any]) -> None:
    word = "Zw9qLr5vKdX3mT"
    assert word in site["testbed_registry_password"]
    assert word not in verified.page + str(verified.report) + verified.play.said
