# SPDX-License-Identifier: GPL-3.0-or-later
"""Subordinate ids as podman takes them, and a podman that cannot start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SITE, Play, User, playbook
from remote import Host

_TWICE = "sed -n 's/^bob:/2002:/p' /etc/subuid >> /etc/subuid"
_OWN = "sed -i 's/^bob:.*/bob:2000:65536/' /etc/subuid"
_BROKEN = "install -D -o bob -g bob /dev/stdin ~bob/.config/containers"
FAULTS = {
    # what is broken, by root; what is said, and the cure
    "no-setuid": ("chmod u-s /usr/bin/newuidmap", "newuidmap", "roles podman, subid"),
    "twice": (_TWICE, "Invalid argument", "the administrator runs role subid"),
    "own-uid": (_OWN, "includes the user UID", "removes that line and runs role subid"),
    "containers.conf": (f"echo '[eng' | {_BROKEN}/containers.conf", "containers.conf", "correct"),
    "storage.conf": (f"echo '[sto' | {_BROKEN}/storage.conf", "storage.conf", "correct the file"),
}


@pytest.fixture
def mended(backend: Host, bob: User) -> Iterator[None]:
    """All that the faults break is whole again after the test, and bob's podman starts."""
    backend.root("cp -p /etc/subuid /etc/subgid /root/")
    yield
    backend.root("chmod u+s /usr/bin/newuidmap; cp -p /root/subuid /root/subgid /etc/")
    backend.root("rm -rf ~bob/.config/containers /root/subuid /root/subgid")
    bob.run("podman system migrate").ok()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_podman_that_cannot_start_is_named_with_the_cure(
    backend: Host, bob: User, play: Play, mended: None, fault: str
) -> None:
    """Without the process that holds bob's namespace, as after a log-out."""
    breaking, said, cure = FAULTS[fault]
    backend.root("pkill -KILL -u bob 'catatonit|podman'; true")
    backend.root(breaking)
    run = bob.command("ces-run", "podman", "--project", "proj1", bob.image)
    assert run.rc == 125, run.said
    assert "FAILED: podman: " in run.err
    assert said in run.err
    assert cure in run.err
    record = bob.record(bob.last_number())
    assert (record["state"], record["rc"]) == ("FAILED", 125)
    assert record["reason"].startswith("podman: ")
    assert cure in record["reason"]
    pull = bob.command("ces-pull", "podman", "--force", "--password-stdin", *WHO, stdin=PASSWORD)
    assert pull.rc == 125, pull.said
    assert "could not ask podman" in pull.err
    assert said in pull.err
    assert cure in pull.err
    if fault == "no-setuid":
        done = play("bob", [{"tre.ces.ces_run": {"image": bob.image, "project": "proj1"}}])
        assert "podman: running `/usr/bin/newuidmap" in done.said
        assert cure in done.said


WHO = ("--username", SITE["testbed_registry_user"], SITE["testbed_image"])
PASSWORD = SITE["testbed_registry_password"]


@pytest.fixture
def namesake(backend: Host, mended: None) -> Iterator[None]:
    """An account whose login is bob's uid."""
    backend.root("useradd --badname --no-create-home --uid 5001 2002")
    yield
    # whatever of its name is left is not for the next account
    backend.root("userdel 2002; true")


def test_podman_maps_what_the_role_subid_gives_and_nothing_of_others(
    backend: Host, namesake: None, tmp_path: Path
) -> None:
    """A login that is somebody's uid; a user with the same range by name and by uid."""
    backend.root(
        "for kind in u g; do sed -n 's/^alice:/2001:/p' /etc/sub${kind}id > /root/more;"
        " cat /root/more >> /etc/sub${kind}id; done; rm /root/more"
    )
    assert len(ranges(backend, "bob")) == 2, "podman takes the other account's range for bob's"
    file = tmp_path / "subid.yml"
    file.write_text("""
- hosts: ces_backends
  gather_facts: false
  become: true
  roles:
    - role: tre.ces.subid
      subid_users: [bob, "2002", alice]
  post_tasks:
    - ansible.builtin.shell: for u in bob 2002 alice; do getsubids $u; getsubids -g $u; done
      register: given
    - ansible.builtin.command: runuser -l alice -c 'podman unshare true'
    - tre.ces.subid:
        users: [bob]
        state: absent
    - ansible.builtin.assert:
        that: given.stdout_lines | length == 6
""")
    done = playbook(file)
    assert done.rc == 0, done.said
    assert len(ranges(backend, "2002")) == 1, "what is taken from bob is not the other account's"
    assert ranges(backend, "bob") == []


def ranges(host: Host, user: str) -> list[str]:
    """The ranges that podman asks for, as the library of shadow-utils tells them."""
    return host.root(f"getsubids {user} || true").splitlines()
