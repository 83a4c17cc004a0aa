# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that somebody else had configured: what is kept, what is refused, what is told."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import TOP, playbook
from remote import Done, Host
from test_ansible import recap

BACKEND = TOP / "playbooks/backend.yml"
STORAGE, POLICY = "/etc/containers/storage.conf", "/etc/containers/policy.json"
KEPT = "/var/lib/tre-ces/replaced"
SITE = """\
[storage]
driver = "overlay"
graphroot = "/srv/root-containers" # the large disk
runroot = "/run/containers/storage"
[storage.options]
additionalimagestores = [
  "/srv/more-images",
]
"""
SIGNED = {
    "default": [{"type": "reject"}],
    "transports": {
        "docker": {"r.example.org/x": [{"type": "sigstoreSigned", "keyPath": "/srv/key.pub"}]}
    },
}


@pytest.fixture
def files(backend: Host) -> Iterator[Host]:
    """The back-end, whose files are put back afterwards."""
    backend.root(f"cp -p {STORAGE} /root/storage.conf; cp -p {POLICY} /root/policy.json")
    yield backend
    backend.root(f"mv /root/storage.conf {STORAGE}; mv /root/policy.json {POLICY}")
    backend.root("rm -rf /srv/root-containers /srv/more-images")


def provision(*options: str) -> Done:
    return playbook(BACKEND, "--limit=ces_backends", *options)


def test_roots_storage_stays_and_what_was_written_is_kept(files: Host) -> None:
    files.root(f"mkdir -p /srv/more-images; cat >{STORAGE}", stdin=SITE)
    done = provision("--tags=container_storage", "--diff")
    assert done.rc == 0, done.said
    assert '-graphroot = "/srv/root-containers" # the large disk' in done.said
    store = json.loads(files.root("podman info --format=json"))["store"]
    assert store["graphRoot"] == "/srv/root-containers"
    assert "/srv/more-images" in files.root(f"cat {STORAGE}")
    copies = files.root(f"grep --files-with-matches --recursive 'large disk' {KEPT}").split()
    assert len(copies) == 1
    assert files.root(f"cat {copies[0]}") == SITE
    assert copies[0] in done.said
    assert files.root(f"stat -c '%U %a' {KEPT}") == "root 700\n"
    again = provision("--tags=container_storage")
    assert recap(again.said)["changed"] == 0, again.said


def test_signatures_that_a_site_demands_are_not_dropped(files: Host) -> None:
    files.root(f"cat >{POLICY}", stdin=json.dumps(SIGNED))
    done = provision("--tags=podman")
    assert done.rc != 0
    assert "demands signatures for r.example.org/x (sigstoreSigned)" in done.said
    assert recap(done.said)["changed"] == 0, done.said
    assert json.loads(files.root(f"cat {POLICY}")) == SIGNED
    done = provision("--tags=podman", "--extra-vars=podman_policy=keep", "--check")
    assert done.rc == 0, done.said
