# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook verify on an ill host: the report is whole, and names what is ill and its cure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import INVENTORY, SITE, SITE_FILE, User, down
from remote import Host
from verifying import Verification, login_of, verify

TELLING = f"--extra-vars=@{SITE_FILE}"


def verified(tmp_path: Path, *options: str) -> Verification:
    people: dict[str, Any] = {"ces_users": ["alice", "bob", "carol"]}
    return verify(INVENTORY, tmp_path, TELLING, *options, **login_of(SITE), **people)


@pytest.fixture
def without_ids(backend: Host, users: dict[str, User]) -> Iterator[None]:
    """bob has no subordinate ids, and podman keeps no namespace of his from before."""
    bob = users["bob"]
    backend.root("cp -a /etc/subuid /etc/subuid.kept")
    bob.run("podman system migrate").ok()
    backend.root("sed -i /^bob:/d /etc/subuid; pkill -u bob -x catatonit || true")
    yield
    backend.root("mv /etc/subuid.kept /etc/subuid")
    bob.run("podman system migrate").ok()


def test_a_registry_that_is_down_and_a_user_without_ids_are_named(
    tmp_path: Path, registry: Host, without_ids: None
) -> None:
    with down(registry):
        found = verified(tmp_path)
    assert found.play.rc != 0
    failed = found.failed("debian13")
    # podman runs containers without a range, too: with one id
    assert ("ids", "bob", "podman") in failed
    assert {("pull", "alice", engine) for engine in ("podman", "apptainer", "oci")} <= failed
    # the others are proved all the same
    assert found.proofs("debian13", what="container", user="alice", outcome="proved")
    assert {user for what, user, _engine in failed if what != "pull"} == {"bob"}
    # ces-doctor's finding of bob names the cause, and who mends it
    cause = [one for one in found.host("debian13")["findings"] if one["user"] == "bob"]
    assert ("subid_given", "subid") in {(one["check"], one["role"]) for one in cause}
    for words in ("Something failed", "no range", "role subid"):
        assert words in found.page


def test_a_host_that_is_down_is_marked_and_the_others_are_proved(
    tmp_path: Path, backend: Host
) -> None:
    where = {"ansible_port": 1, "ansible_host": "127.0.0.1"}
    gone = {"all": {"children": {"ces_backends": {"hosts": {"gone": where}}}}}
    more = tmp_path / "more.yml"
    more.write_text(yaml.safe_dump(gone))
    found = verified(tmp_path, f"--inventory={more}")
    assert found.play.rc != 0
    assert found.host("gone")["state"] == "not reached"
    assert found.failed("debian13") == set()
    assert "gone: not reached" in found.page


def test_a_policy_that_is_broken_is_what_failed(tmp_path: Path, backend: Host) -> None:
    backend.root("cp -a /etc/ces/policy.json /etc/ces/kept; echo '{' >/etc/ces/policy.json")
    try:
        found = verified(tmp_path)
    finally:
        backend.root("mv /etc/ces/kept /etc/ces/policy.json")
    assert {what for what, _user, _engine in found.failed("debian13")} == {"policy"}


@pytest.mark.parametrize("place", ["outputs", "storage"])
def test_what_a_user_puts_in_the_way_is_not_followed(
    tmp_path: Path, backend: Host, users: dict[str, User], place: str
) -> None:
    """Root writes and removes nothing by a link of a user's making."""
    alice = users["alice"]
    victim = "/root/victim"
    backend.root(f"mkdir -p {victim}; touch {victim}/file")
    target = "~/.local/state/ces" if place == "outputs" else "~/.local/share/ces"
    alice.run(f"mkdir -p {target}; mv {target} {target}.kept; ln -s {victim} {target}").ok()
    try:
        found = verified(tmp_path)
        assert backend.root(f"ls {victim}") == "file\n"
    finally:
        alice.run(f"rm {target}; mv {target}.kept {target}").ok()
    assert found.proofs("debian13", what="container", user="bob", outcome="proved")


def test_check_mode_says_what_would_be_done(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="run a container as alice under podman"):
        verified(tmp_path, "--check")
    assert not (tmp_path / "verification.json").exists()
