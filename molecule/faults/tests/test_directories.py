# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects, data, homes and disks that are not as they should be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import User
from remote import Host, wait_until


def test_no_project_group_is_refused_with_the_groups_looked_at(carol: User) -> None:
    done = carol.command("ces-run", "podman", carol.image)
    assert done.rc == 125
    assert "no directory in /safe_data belongs to a group of carol" in done.err
    assert "ask the data manager" in done.err
    assert carol.left() == {}


def test_two_project_groups_are_refused_with_both_named(bob: User) -> None:
    done = bob.command("ces-run", "podman", bob.image)
    assert done.rc == 125
    assert "there are several: proj1, proj2" in done.err
    assert "--project" in done.err


@pytest.mark.parametrize("project", ["proj2", "../proj2", "proj1/../proj2", "", ".", "no-such"])
def test_only_a_project_of_ones_own_can_be_chosen(alice: User, project: str) -> None:
    done = alice.command("ces-run", "podman", f"--project={project}", alice.image)
    if project == "":  # as if it was not given
        assert done.rc == 0
        return
    assert done.rc == 125
    assert "could not use" in done.err


@pytest.mark.parametrize("directory", ["/etc", "/safe_data/proj2", "/home/alice", "~/../alice"])
def test_outputs_in_what_is_anothers_are_refused(bob: User, directory: str) -> None:
    done = bob.command("ces-run", "podman", "--project", "proj1", "--outputs", directory, bob.image)
    if directory == "/safe_data/proj2":  # he is in that project
        assert done.rc == 0
        return
    assert done.rc == 125
    assert "it lies outside what may be mounted here" in done.err


@contextmanager
def changed(host: Host, change: str, back: str) -> Iterator[None]:
    host.root(change)
    try:
        yield
    finally:
        host.root(back)


def test_unreadable_data_are_refused(alice: User) -> None:
    with changed(alice.host, "chmod 0 /safe_data/proj1", "chmod 2770 /safe_data/proj1"):
        done = alice.command("ces-run", "podman", alice.image)
    assert done.rc == 125
    assert "could not use /safe_data/proj1" in done.err
    assert "alice may not read it" in done.err


def test_an_unwritable_home_is_refused_before_anything_is_started(alice: User) -> None:
    before = alice.last_number()
    with changed(alice.host, "chmod 0555 ~alice", "chmod 0755 ~alice"):
        done = alice.command("ces-run", "podman", alice.image)
    assert done.rc == 125
    assert "/home/alice/outputs-" in done.err and "Permission denied" in done.err
    assert alice.record(before + 1)["state"] == "FAILED"
    assert alice.left() == {}


def test_an_unwritable_state_directory_is_refused_before_anything_is_started(alice: User) -> None:
    state = "~alice/.local/state/ces"
    with changed(alice.host, f"chown -R root {state}", f"chown -R alice {state}"):
        done = alice.command("ces-run", "podman", alice.image)
    assert done.rc == 125
    assert "/home/alice/.local/state/ces" in done.err
    assert alice.left() == {}


POLICY = "/etc/ces/policy.json"
RUN = "ces-run oci --opt-file /dev/stdin"
TRIES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "a link to the host's root": ({}, "ln -s / ~/safe_data; ces-run oci", "", "lies outside"),
    "outputs in data to be read": (
        {"safe_data": {"access": "ro"}},
        "ces-run oci --outputs /safe_data/proj1",
        "",
        "may only read",
    ),
    "scratch in data to be read": (
        {"safe_data": {"access": "ro"}},
        "CES_SCRATCH=/safe_data/proj1/new ces-run oci",
        "",
        "may only read",
    ),
    "the home as a mount": ({"home": "never"}, RUN, "-v ${HOME}:/h", "does not allow"),
    "the home as outputs": ({"home": "never"}, "ces-run oci --outputs ~", "", "does not allow"),
    "the home as scratch": ({"home": "never"}, "CES_SCRATCH=~ ces-run oci", "", "does not allow"),
    "all homes as a mount": (
        {"home": "never", "mount_roots": ["/home"]},
        RUN,
        "-v /home:/h",
        "does not allow",
    ),
    "a mount around data to be read": (
        {"safe_data": {"access": "ro"}},
        f"mkdir ~/safe_data; {RUN}",
        "-v ${HOME}:/h",
        "may only read",
    ),
    "another home": (
        {},
        f"mkdir -p /var/tmp/alice; HOME=/var/tmp/alice {RUN}",
        "-v /var/tmp/alice:/h",
        "lies outside",
    ),
}


@pytest.mark.parametrize("name", TRIES)
def test_what_a_researcher_tries_around_the_policy_is_refused(alice: User, name: str) -> None:
    changes, line, options, said = TRIES[name]
    before = alice.host.root(f"cat {POLICY}")
    alice.host.root(f"cat >{POLICY}", json.dumps({**json.loads(before), **changes}))
    try:
        done = alice.run(f"cd ~; {line} --pull never {alice.image}", stdin=options)
    finally:
        alice.host.root(f"cat >{POLICY}", before)
        alice.run("rm -f ~/safe_data || rmdir ~/safe_data; rm -rf /var/tmp/alice")
    assert (done.rc, said in done.err) == (125, True), done.err


@contextmanager
def small_disk(host: Host, path: str, owner: str, size: str) -> Iterator[None]:
    """A file system of that size for as long as it takes."""
    mount = f"mkdir -p {path}; mount -t tmpfs -o size={size},mode=0700,uid={owner} tmpfs {path}"
    with changed(host, mount, f"umount --lazy {path}"):
        yield


def test_a_full_disk_for_outputs_fails_the_run_and_the_record_says_so(alice: User) -> None:
    script = "dd if=/dev/zero of=/safe_outputs/result bs=64k count=256 && echo never"
    with small_disk(alice.host, "/home/alice/small", "alice", "1m"):
        done = alice.shell_in_container(script, "--outputs", "small")
        number = alice.last_number()
        size = alice.run("stat -c %s ~/small/result").out
    assert done.rc == 1
    assert "No space left on device" in done.err
    assert int(size) <= 1 << 20
    record = alice.record(number)
    assert (record["state"], record["rc"]) == ("FAILED", 1)
    assert record["reason"] == "the container exited with 1"
    assert alice.left() == {}


@pytest.fixture
def erin(backend: Host, users: dict[str, User]) -> Iterator[User]:
    """Somebody whose home directory is a disk of 4 MiB."""
    erin = users["erin"]
    keep = "cp -a ~erin/.ssh /root/erin-ssh"
    with (
        changed(backend, keep, "rm -rf /root/erin-ssh"),
        small_disk(backend, erin.home, erin.name, "4m"),
    ):
        backend.root("cp -a /root/erin-ssh ~erin/.ssh")
        erin.pull().ok()
        yield erin


def test_a_home_that_the_run_fills_keeps_the_record_of_how_it_ended(erin: User) -> None:
    script = "dd if=/dev/zero of=/safe_outputs/result bs=64k; df /safe_outputs; echo ended; exit 7"
    done = erin.shell_in_container(script)
    number = erin.last_number()
    assert done.rc == 7
    record = erin.record(number)
    assert (record["state"], record["rc"]) == ("FAILED", 7)
    assert record["ended"]
    assert erin.left() == {}
    assert "ended" in done.out


def test_a_log_that_fills_the_home_is_cut_and_the_run_goes_on(erin: User) -> None:
    script = "yes | head -c 20000000; echo >&2 the end; exit 3"
    done = erin.shell_in_container(script, "--json")
    record = erin.record(erin.last_number())
    assert (done.rc, record["state"], record["rc"]) == (3, "FAILED", 3)
    assert any("the log is cut short: No space left" in text for text in record["warnings"])
    assert erin.left() == {}


def test_a_run_on_a_disk_that_is_full_already_is_refused(erin: User) -> None:
    erin.shell_in_container("true").ok()
    erin.run("dd if=/dev/zero of=~/fill bs=1k status=none; true")
    done = erin.command("ces-run", "podman", erin.image)
    assert done.rc == 125
    assert "No space left on device" in done.err and "free some space" in done.err
    wait_until(lambda: erin.left() == {}, "erin's runs to be cleared away", 5)
    erin.run("rm ~/fill")
    erin.shell_in_container("true").ok()
