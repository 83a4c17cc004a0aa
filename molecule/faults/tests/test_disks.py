# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of users' images is not mounted, as after a boot at which it failed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import TOP, User, playbook
from remote import Host
from test_ansible import recap

ROOTS = {
    "container_storage": "/var/lib/tre-ces/containers",
    "apptainer": "/var/lib/tre-ces/apptainer",
}


@pytest.fixture(params=ROOTS)
def lost(request: pytest.FixtureRequest, backend: Host, alice: User) -> Iterator[str]:
    """The role whose directory is the empty one below the disk's mount point."""
    root = ROOTS[request.param]
    backend.root(f"mkdir -p /root/below && mount --bind /root/below {root}")
    # as at boot
    backend.root("systemd-tmpfiles --create --remove --boot --prefix=/var/lib/tre-ces")
    yield request.param
    backend.root(f"umount {root}")
    assert backend.root("find /root/below -mindepth 1") == "", "something was made on another disk"
    backend.root("rmdir /root/below")
    alice.command("ces-run", "podman", alice.image).ok()


def test_nothing_is_pulled_or_run_on_another_disk(lost: str, alice: User) -> None:
    said = f"their disk is not there: {ROOTS[lost]} lacks the file .tre-ces-disk"
    for words in (
        ["ces-run", "podman", alice.image],
        ["ces-pull", "apptainer", alice.image],
        ["ces-images"],
    ):
        done = alice.command(*words)
        assert done.rc == 125, done.said
        assert said in done.err
        assert "the administrator mounts the disk" in done.err
    report = json.loads(alice.command("ces-doctor", "--json").out)
    found = {one["check"]: one for one in report["findings"] if one["level"] == "fault"}
    assert ROOTS[lost] in found["disks"]["said"]


def test_the_role_changes_nothing_until_it_is_told_that_the_disk_is_new(lost: str) -> None:
    backend_yml = TOP / "playbooks/backend.yml"
    words = ["--limit=ces_backends", f"--tags={lost}"]
    done = playbook(backend_yml, *words)
    assert done.rc != 0
    assert "which an earlier run left there" in done.said
    assert recap(done.said)["changed"] == 0, done.said
    done = playbook(backend_yml, *words, f"--extra-vars={lost}_new_disk=true", "--check")
    assert "which an earlier run left there" not in done.said
