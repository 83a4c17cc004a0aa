# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles leave of somebody's configuration, and that the host is as before without them.

The tests are steps of one story, in this order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import playbook
from remote import Host, wait_until

Snapshot = dict[str, list[str]]
OF_PACKAGES = ("/etc/alternatives/", "/etc/rc", "/etc/systemd/system/", "/etc/apparmor.d")
"""Where packages make files and links that they do not list as their own."""
EDITED = {"/etc/subuid", "/etc/subgid", "/etc/subuid-", "/etc/subgid-", "/etc/ld.so.cache"}
"""Subordinate ids stay, and packages bring libraries."""

CANARIES = ("canary_podman", "canary_apptainer", "canary_oci")


def snapshot(backend: Host) -> Snapshot:
    program = Path(__file__).with_name("snapshot.py")
    found: Snapshot = json.loads(backend.root("python3 -", stdin=program.read_text()))
    return found


@pytest.fixture(scope="module")
def before(backend: Host) -> Snapshot:
    """What was there before the roles came."""
    found: Snapshot = json.loads(backend.root("cat /root/before.json"))
    return found


def info(backend: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(backend.root("podman info --format=json"))
    return found


def test_the_containers_and_settings_of_root_are_there(backend: Host) -> None:
    assert backend.root("podman ps --all --format '{{.Names}}'") == "of-root\n"
    assert info(backend)["store"]["graphRoot"] == "/var/root-containers"
    assert info(backend)["host"]["eventLogger"] == "file"


def test_what_was_replaced_is_kept(backend: Host) -> None:
    kept = "find /var/lib/tre-ces/replaced -type f -name '*.conf.*' -o -name 'policy.json.*'"
    texts = backend.root(f"cat $({kept})")
    assert "# the large disk" in texts
    assert "insecureAcceptAnything" in texts


def test_users_run_containers(backend: Host) -> None:
    for name in ("alice", "bob"):
        findings = json.loads(backend.run(name, "ces-doctor --canary --json").out)["findings"]
        canaries = {one["check"]: one["level"] for one in findings if "canary" in one["check"]}
        assert canaries == dict.fromkeys(CANARIES, "ok")


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
    assert {path for path in before if before[path] != after.get(path)} <= EDITED
    new = {path for path in after if path not in before} - EDITED - copies
    new = {path for path in new if not path.startswith(OF_PACKAGES)}
    owned = backend.run("root", f"dpkg --search {' '.join(sorted(new)) or '/etc'}").out
    assert {path for path in new if f": {path}\n" not in owned} == set()
    left = [path for path in after if "tre-ces" in path and path not in copies]
    assert left == []


def test_what_was_somebodys_works_again(backend: Host) -> None:
    assert backend.root("podman ps --all --format '{{.Names}}'") == "of-root\n"
    assert "insecureAcceptAnything" in backend.root("cat /etc/containers/policy.json")
    # bob's session was kept before the roles came
    assert backend.root("ls /var/lib/systemd/linger") == "bob\n"
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
