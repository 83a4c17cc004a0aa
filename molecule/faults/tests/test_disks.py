# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk with images is not mounted, as after a boot at which it failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import TOP, User, playbook
from remote import Done, Host
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


SHARED = "/srv/for-all"
STORES = {"sif_dir": f"{SHARED}/sif", "bundle_dir": f"{SHARED}/bundles"}


@pytest.fixture(scope="module")
def shared(backend: Host, site: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a site says that keeps images for all on a file system of their own."""
    backend.root(f"mkdir {SHARED}; mount -t tmpfs tmpfs {SHARED}")
    backend.root(f"install -d -m 2775 -g tre-proj1 {STORES['sif_dir']}")
    given = {"ces_policy": {**site["ces_policy"], **STORES}, "oci_bundle_group": "tre-proj1"}
    yield given
    backend.root(f"while mountpoint -q {SHARED}; do umount {SHARED}; done; rm -rf {SHARED}")
    assert provision_shared("--extra-vars=ces_tools_new_disk=true").rc == 0
    assert backend.run("root", "ls /etc/ces/shared_images.json").rc != 0


def provision_shared(*options: str) -> Done:
    words = ["--limit=ces_backends", "--tags=ces_tools,oci"]
    return playbook(TOP / "playbooks/backend.yml", *words, *options)


def test_images_for_all_are_not_kept_below_their_mount_point(
    shared: dict[str, Any], alice: User, backend: Host, site: dict[str, Any]
) -> None:
    """A group may write there, so that no mark on the disk would be safe: the mount is noted."""
    given = f"--extra-vars={json.dumps(shared)}"
    done = provision_shared(given)
    assert done.rc == 0, done.said
    again = provision_shared(given)
    assert recap(again.said)["changed"] == 0, again.said
    login = ["--username", site["testbed_registry_user"], "--password-stdin", alice.image]
    password = site["testbed_registry_password"]
    for runner in ("apptainer", "oci"):
        alice.command("ces-pull", runner, *login, stdin=password).ok()
    backend.root(f"umount {SHARED}; mkdir -m 2777 {' '.join(STORES.values())}")
    for runner, store in zip(("apptainer", "oci"), STORES.values()):
        for words in (["ces-run", runner, alice.image], ["ces-pull", runner, *login]):
            done = alice.command(*words, stdin=password)
            assert done.rc == 125, done.said
            assert f"use the images in {store}\n" in done.err
            assert f"their file system is not there: nothing is mounted on {SHARED}" in done.err
    alice.command("ces-run", "podman", alice.image).ok()
    report = json.loads(alice.command("ces-doctor", "--json").out)
    faults = [one["check"] for one in report["findings"] if one["level"] == "fault"]
    assert "shared_disks" in faults
    for tags in ("ces_tools", "oci"):
        refused = provision_shared(given, f"--tags={tags}")
        assert refused.rc != 0
        assert f"nothing is mounted on {SHARED}" in " ".join(refused.said.split())
        assert recap(refused.said)["changed"] == 0, refused.said
    assert backend.root(f"find {SHARED} -type f") == ""
    done = provision_shared(given, "--extra-vars=ces_tools_new_disk=true")
    assert done.rc == 0, done.said
    alice.command("ces-pull", "apptainer", *login, stdin=password).ok()
