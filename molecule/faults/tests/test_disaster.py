# SPDX-License-Identifier: GPL-3.0-or-later
"""The host was installed anew: homes and the disk of images are those of before, the rest is gone.

The same host stands for the new one. The playbook remove makes of it what it was before the roles
came, with packages, and all sessions end, as at a boot.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import TOP, User, playbook
from remote import Host, wait_until

BACKEND = TOP / "playbooks/backend.yml"
ACCOUNTS = ("/etc/subuid", "/etc/subgid")
NOTED = "/var/lib/tre-ces/containers/subordinate-ids.json"
"""Whose ids were whose."""


@pytest.fixture
def interrupted(alice: User) -> Iterator[dict[str, Any]]:
    """The record of a run of alice's that went on when the host was lost."""
    number = alice.start_run(alice.image, "-d", "300")
    record = alice.record(number)
    path = f"{alice.home}/.local/state/ces"
    alice.run(f"cp -a {path} {path}.before").ok()
    alice.command("ces-stop", str(number)).ok()
    alice.run(f"rm -rf {path}; mv {path}.before {path}").ok()
    assert alice.record(number)["state"] == "RUNNING"
    yield record


def test_a_run_from_before_is_settled_and_no_other_process_is_ended(
    interrupted: dict[str, Any], alice: User, backend: Host
) -> None:
    """Another process of hers has the number that the run's had."""
    number = interrupted["run_id"]
    path = f"{alice.home}/.local/state/ces/runs/{number}/run.json"
    other = alice.run("setsid sleep 300 >/dev/null 2>&1 </dev/null & echo $!").ok().out.strip()
    record = {**alice.record(number), "pid": int(other)}
    alice.run(f"cat >{path}", stdin=json.dumps(record)).ok()
    report = json.loads(alice.command("ces-doctor", "--json").out)
    dead = [one for one in report["findings"] if one["check"] == "dead_runs"]
    assert str(number) in dead[0]["said"], report
    stopped = alice.command("ces-stop", str(number))
    assert alice.record(number)["state"] == "CANCELLED", stopped.said
    assert "the host went down" in alice.record(number)["reason"]
    assert alice.run(f"kill -0 {other}").rc == 0
    alice.run(f"kill {other}").ok()
    assert not any(alice.left().values())


def test_a_record_of_another_host_is_left_to_that_host(
    interrupted: dict[str, Any], alice: User
) -> None:
    number = interrupted["run_id"]
    path = f"{alice.home}/.local/state/ces/runs/{number}/run.json"
    alice.run(f"cat >{path}", stdin=json.dumps({**interrupted, "host": "older"})).ok()
    assert "it runs on older" in alice.command("ces-stop", str(number)).err
    assert alice.record(number)["state"] == "RUNNING"
    alice.run(f"cat >{path}", stdin=json.dumps(interrupted)).ok()
    alice.command("ces-clean").ok()
    assert alice.record(number)["state"] == "CANCELLED"


def ranges(backend: Host) -> list[str]:
    return sorted(backend.root(f"cat {' '.join(ACCOUNTS)}").splitlines())


def provision(*options: str) -> None:
    done = playbook(BACKEND, "--limit=ces_backends", "--skip-tags=gpu", *options)
    assert done.rc == 0, done.said


def test_the_roles_make_a_new_host_of_one_that_lost_its_system(
    backend: Host, alice: User, bob: User
) -> None:
    images = json.loads(alice.command("ces-images", "--json").ok().out)
    before = ranges(backend)
    removed = playbook(TOP / "playbooks/remove.yml", "--limit=ces_backends")
    assert removed.rc == 0, removed.said
    backend.root("loginctl terminate-user alice bob; rm -rf /var/lib/tre-ces/lingering")
    wait_until(lambda: not backend.run("root", "ls -d /run/user/2001").out, "her session to end")
    left = backend.run("root", "ls -d /etc/ces /usr/local/bin/ces-run").out
    # accounts are made in another order: useradd gives each of two the other's ids
    exchange = "s/^alice:/x:/; s/^bob:/alice:/; s/^x:/bob:/"
    backend.root(f"sed -i '{exchange}' {' '.join(ACCOUNTS)}")
    refused = playbook(BACKEND, "--limit=ces_backends", "--skip-tags=gpu")
    assert refused.rc != 0 and "which were bob's" in " ".join(refused.said.split()), refused.said
    provision("--extra-vars=ces_reused_uids=keep_apart")
    assert left == ""
    assert ranges(backend) == before
    assert json.loads(alice.command("ces-images", "--json").ok().out) == images
    for runner in ("podman", "oci"):
        alice.command("ces-run", runner, alice.image).ok()
    bob.command("ces-run", "podman", "--project=proj1", bob.image).ok()


STORAGE = "/var/lib/tre-ces/containers"


@pytest.fixture
def lost_disk(backend: Host, alice: User) -> Iterator[None]:
    """A new disk, with nothing on it, stands for the one of users' images, as after a boot."""
    again = "systemctl stop user@2001; pkill -KILL -u alice; systemctl start user@2001"
    alice.command("ces-run", "podman", alice.image).ok()
    backend.root(f"mkdir -m 0755 /var/new-disk; mount --bind /var/new-disk {STORAGE}; {again}")
    yield
    backend.root(f"systemctl stop user@2001; pkill -KILL -u alice; umount {STORAGE}; true")
    backend.root("rm -rf /var/new-disk; systemctl start user@2001")
    provision("--tags=container_storage,subid,podman")
    alice.command("ces-run", "podman", alice.image).ok()


def test_users_have_their_records_and_pull_again_when_the_disk_is_lost(
    backend: Host, lost_disk: None, alice: User, site: dict[str, Any]
) -> None:
    refused = alice.command("ces-images")
    assert (refused.rc, "their disk is not there" in refused.err) == (125, True), refused.said
    runs = alice.command("ces-runs", "--json").ok().out
    assert len(json.loads(runs)) > 0
    provision(
        "--tags=container_storage,subid,podman", "--extra-vars=container_storage_new_disk=true"
    )
    assert alice.command("ces-runs", "--json").ok().out == runs
    images = json.loads(alice.command("ces-images", "--json").ok().out)
    assert "podman" not in {one["runner"] for one in images}
    gone = alice.command("ces-run", "--pull", "never", "podman", alice.image)
    assert gone.rc == 125
    assert "not in your storage" in gone.err and "ces-pull" in gone.err, gone.err
    login = ["--username", site["testbed_registry_user"], "--password-stdin"]
    password = site["testbed_registry_password"]
    alice.command("ces-pull", "podman", *login, alice.image, stdin=password).ok()
    alice.command("ces-run", "podman", alice.image).ok()


def test_the_same_user_gets_the_same_subordinate_ids_on_another_host(backend: Host) -> None:
    """Without lines of useradd the rule looks at the uid alone."""
    backend.root("for file in subuid subgid; do cp -p /etc/$file /root/$file.kept; done")
    uid = 2019
    try:
        found = []
        for _host in range(2):
            backend.root("sed -i /^user9:/d /etc/subuid /etc/subgid")
            backend.root(f"rm -f {NOTED}")
            provision("--tags=subid")
            found.append(backend.root("grep -h ^user9: /etc/subuid /etc/subgid").split())
    finally:
        backend.root("for file in subuid subgid; do mv /root/$file.kept /etc/$file; done")
        backend.run("user9", "podman system migrate")
    assert found[0] == found[1] == [f"user9:{100000 + (uid - 1000) * 65536}:65536"] * 2
