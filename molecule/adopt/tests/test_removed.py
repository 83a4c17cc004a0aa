# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that was adopted (test_adopted.py) is as before when the collection is removed.

The tests are steps of one story, in this order.
"""

from __future__ import annotations

import json

import pytest
from conftest import Snapshot, info, playbook, snapshot
from remote import Host, wait_until

OF_PACKAGES = ("/etc/alternatives/", "/etc/rc", "/etc/systemd/system/", "/etc/apparmor.d")
"""Where packages make files and links that they do not list as their own."""
EDITED = {
    *("/etc/subuid", "/etc/subgid", "/etc/subuid-", "/etc/subgid-", "/etc/ld.so.cache"),
    "/etc/subuid.lock",
}
"""Subordinate ids stay, and packages bring libraries. A lock of the dead goes."""
OF_BEFORE = {"/etc/ces/policy.json", "/etc/ces/container_storage.json"}
"""Files of a back-end that was there before are the collection's own, and go with it."""


@pytest.fixture(scope="module")
def before(backend: Host) -> Snapshot:
    """What was there before the roles came."""
    found: Snapshot = json.loads(backend.root("cat /root/before.json"))
    return found


def test_a_host_in_use_is_refused(backend: Host, before: Snapshot) -> None:
    written = snapshot(backend)
    backend.run("alice", "systemd-run --user --unit=in-use bash -c 'exec -a x sleep 60'").ok()
    backend.run("alice", "cp /bin/sleep ~/ces-run; systemd-run --user --unit=run ~/ces-run 60").ok()
    wait_until(lambda: backend.run("alice", "pgrep --exact ces-run").rc == 0, "the command")
    done = playbook("remove.yml")
    assert done.rc != 0
    assert "containers or ces commands run" in done.said
    assert snapshot(backend) == written
    backend.run("alice", "systemctl --user stop run in-use; rm ~/ces-run").ok()


def test_check_mode_shows_it_and_changes_nothing(backend: Host) -> None:
    written = snapshot(backend)
    done = playbook("remove.yml", "--check", "--diff")
    assert done.rc == 0, done.said
    assert '+graphroot = "/var/root-containers" # the large disk' in done.said
    assert snapshot(backend) == written


def test_it_is_as_it_was(backend: Host, before: Snapshot) -> None:
    done = playbook("remove.yml")
    assert done.rc == 0, done.said
    after = snapshot(backend)
    copies = {path for path in after if path.startswith("/var/lib/tre-ces")}
    assert {path for path in before if before[path] != after.get(path)} <= EDITED | OF_BEFORE
    new = {path for path in after if path not in before} - EDITED - copies
    new = {path for path in new if not path.startswith(OF_PACKAGES)}
    owned = backend.run("root", f"dpkg --search {' '.join(sorted(new)) or '/etc'}").out
    assert {path for path in new if f": {path}\n" not in owned} == set()
    left = [path for path in after if "tre-ces" in path and path not in copies]
    assert left == []


def test_what_was_somebodys_works_again(backend: Host) -> None:
    assert backend.root("podman ps --format '{{.Names}}'") == "of-root\n"
    assert backend.root("ls -A /etc/ces") == ""
    # these sessions were kept before the roles came
    assert backend.root("ls /var/lib/systemd/linger") == "alice\nbob\n"
    # with her own podman alice sees what she had
    assert backend.run("alice", "podman ps --all --format '{{.Names}}'").out == "of-alice\n"
    assert backend.run("root", "command -v ces-run").rc != 0


def test_a_second_time_nothing_is_there(backend: Host) -> None:
    done = playbook("remove.yml")
    assert done.rc == 0, done.said
    assert "Nothing of the roles was there" in done.said
    assert "changed=0" in done.said


def test_the_roles_can_come_again(backend: Host) -> None:
    done = playbook("backend.yml")
    assert done.rc == 0, done.said
    # groups that a site does not have are nothing to warn of
    assert "Could not match supplied host pattern" not in done.said
    assert backend.run("alice", "ces-run --version").ok()
    assert info(backend)["store"]["graphRoot"] == "/var/root-containers"
