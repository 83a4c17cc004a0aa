# SPDX-License-Identifier: GPL-3.0-or-later
"""A host, and a user's files, are made ill: ces-doctor says so, and after the cure it does not."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import Play, User, down
from engines import RUNNERS
from remote import Host

HOME = "/home/alice"
CONFIG = f"{HOME}/.config/containers"
STATE = f"{HOME}/.local/state/ces"
DATA = "/var/lib/tre-ces/containers/2001/data"
STORAGE = "/var/lib/tre-ces/containers/2001/storage"
LEFT = f"{HOME}/.local/share/containers/storage"
ACCEPT = '{"default": [{"type": "insecureAcceptAnything"}]}'
LOGIN = '{"auths": {"r.example.org": {"auth": "eDp5"}}}'


@dataclass(frozen=True)
class Illness:
    """One way to be ill.

    :param check: the row that finds it; ``level``: how bad it is; ``part``: of what it says.
    :param make: shell of root that makes the host ill, or alice's files; ``mend``: the cure.
    """

    check: str
    level: str
    part: str
    make: str
    mend: str


def edited(file: str, script: str) -> tuple[str, str]:
    """A file is edited, and put back."""
    return (
        f"cp -p {file} /root/kept && sed -i {shlex.quote(script)} {file}",
        f"cp /root/kept {file}",
    )


def away(file: str) -> tuple[str, str]:
    """A file is moved away, and back."""
    return f"mv {file} {file}.away", f"mv {file}.away {file}"


def written(file: str, text: str) -> tuple[str, str]:
    """alice writes a file, and removes it."""
    place = file.rpartition("/")[0]
    make = f"umask 022; mkdir -p {place}; printf %s {shlex.quote(text)} > {file}"
    return f"runuser -u alice -- sh -c {shlex.quote(make)}", f"rm {file}"


def in_policy(**keys: Any) -> tuple[str, str]:
    """The site's policy says something else."""
    file = "/etc/ces/policy.json"
    program = f"import json; p = json.load(open('{file}')); p.update({keys!r});"
    program += f" json.dump(p, open('{file}', 'w'))"
    return (
        f"cp -p {file} /root/kept && python3 -c {shlex.quote(program)}",
        f"cp /root/kept {file}",
    )


def both(one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str]:
    """Two ways to be ill at once."""
    return f"{one[0]} && {other[0]}", f"{one[1]} && {other[1]}"


def in_place_of(program: str, text: str) -> tuple[str, str]:
    """Another program has the name of one."""
    make, mend = away(program)
    line = f"{make} && printf '#!/bin/sh\\n%s\\n' {shlex.quote(text)} > {program}"
    return f"{line} && chmod 755 {program}", mend


def mounted(place: str, options: str) -> tuple[str, str]:
    """A directory is mounted otherwise, and as before."""
    return (
        f"mount --bind {place} {place}; mount -o remount,bind,{options} {place}",
        f"umount {place}",
    )


LOCKS = "/dev/shm/libpod_rootless_lock_2001"
ILLNESSES = (
    # where all users may make files
    Illness(
        "podman_locks",
        "fault",
        "belongs to uid 2002",
        f"mv {LOCKS} {LOCKS}.kept && runuser -u bob -- touch {LOCKS}",
        f"rm -f {LOCKS}; mv {LOCKS}.kept {LOCKS}",
    ),
    # the user's ids
    Illness("subid_given", "fault", "no range", *edited("/etc/subuid", "/^alice:/d")),
    Illness(
        "subid_enough", "warning", "1000 ids", *edited("/etc/subgid", r"/^alice:/s/:[0-9]*$/:1000/")
    ),
    Illness("subid_own", "fault", "own uid 2001", *edited("/etc/subuid", "$ a alice:2001:5")),
    Illness(
        "subid_twice", "fault", "same ids", *edited("/etc/subuid", "/^alice:/{p;s/^alice/2001/}")
    ),
    Illness(
        "subid_shared", "warning", "dave", *edited("/etc/subuid", "/^alice:/{p;s/^alice/dave/}")
    ),
    Illness(
        "subid_source", "note", "come from sss", *edited("/etc/nsswitch.conf", "$ a subid: sss")
    ),
    Illness("subid_lines", "warning", "NAME:START:COUNT", *edited("/etc/subuid", "$ a nonsense")),
    # the host
    Illness(
        "id_mappers",
        "fault",
        "neither setuid root",
        "chmod u-s /usr/bin/newuidmap",
        "chmod u+s /usr/bin/newuidmap",
    ),
    Illness("fuse", "fault", "mode 0600", "chmod 600 /dev/fuse", "chmod 666 /dev/fuse"),
    Illness("engines_installed", "fault", "umoci is not installed", *away("/usr/bin/umoci")),
    Illness(
        "engines_answering",
        "fault",
        "does not say its version (broken)",
        *in_place_of("/usr/bin/crun", "echo broken >&2; exit 1"),
    ),
    Illness(
        "engine_versions",
        "fault",
        "crun is 0.1, and runs need",
        *in_place_of("/usr/bin/crun", "echo crun version 0.1"),
    ),
    Illness(
        "apptainer_parts",
        "warning",
        "mksquashfs is missing",
        *away("/usr/bin/mksquashfs"),
    ),
    Illness(
        "hidden_processes",
        "note",
        "hidepid=",
        "mount -o remount,hidepid=2 /proc",
        "mount -o remount,hidepid=0 /proc",
    ),
    Illness("audit", "warning", "nobody listens at /dev/log", *away("/dev/log")),
    # what the site says
    Illness("runners_known", "fault", "the runner moby", *in_policy(runners=["podman", "moby"])),
    Illness("registries_allowed", "warning", "allows no registry", *in_policy(registries=[])),
    Illness("image_stores", "warning", "/no/store", *in_policy(sif_dir="/no/store")),
    Illness(
        "networks",
        "warning",
        "slirp4netns is not installed",
        *both(
            in_policy(network={"default": "none", "allowed": ["none", "slirp4netns"]}),
            away("/usr/bin/slirp4netns"),
        ),
    ),
    Illness(
        "policy",
        "fault",
        "there is no such key",
        *edited("/etc/ces/policy.json", '1s/{/{"odd":1,/'),
    ),
    Illness(
        "accepted_registries",
        "fault",
        "rejects it",
        *edited("/etc/containers/policy.json", "s/insecureAcceptAnything/reject/"),
    ),
    Illness("policy_json", "fault", "there is no", *away("/etc/containers/policy.json")),
    Illness(
        "registries_trusted",
        "fault",
        "certificate is not trusted",
        *away("/etc/containers/certs.d"),
    ),
    # podman 5.4 reads no drop-in files; newer ones do, and read storage.conf otherwise
    Illness(
        "podman_storage",
        "warning",
        "keeps images in /var/lib/tre-ces/containers/2001/data",
        *edited("/etc/containers/storage.conf", "/^rootless_storage_path/d"),
    ),
    # the session
    Illness("user_bus", "warning", "no message bus", *away("/run/user/2001/bus")),
    Illness("lingering", "warning", "nobody is logged in", *away("/var/lib/systemd/linger/alice")),
    # places
    Illness("writable", "fault", "Read-only file system", *mounted(HOME, "ro")),
    Illness("storage_flags", "warning", "--read-only", *mounted(DATA, "noexec")),
    Illness("storage_flags", "warning", "/scratch", *mounted(HOME, "noexec")),
    Illness(
        "room",
        "fault",
        "will not fit",
        f"mount -t tmpfs -o size=1m,uid=2001,mode=700 none {STORAGE}",
        f"umount {STORAGE}",
    ),
    Illness(
        "owner",
        "fault",
        "belongs to uid 0",
        f"runuser -u alice -- mkdir -p {STATE}; chown root {STATE}; chmod 777 {STATE}",
        f"chown alice {STATE}; chmod 700 {STATE}",
    ),
    Illness(
        "temporary",
        "fault",
        "/no/where does not exist",
        *written(f"{CONFIG}/containers.conf", '[engine]\nimage_copy_tmp_dir = "/no/where"\n'),
    ),
    Illness(
        "user_directories",
        "warning",
        "/2001/",
        *away("/var/lib/tre-ces/apptainer/2001"),
    ),
    # the user's own files
    Illness(
        "own_storage_conf", "warning", CONFIG, *written(f"{CONFIG}/storage.conf", "[storage]\n")
    ),
    Illness("own_registries_conf", "warning", CONFIG, *written(f"{CONFIG}/registries.conf", "")),
    Illness(
        "registries_conf", "fault", "cannot be read", *written(f"{CONFIG}/registries.conf", "[[odd")
    ),
    Illness(
        "short_names",
        "warning",
        "registry.example.org",
        *written(
            # the site's own drop-in file counts for more than registries.conf
            f"{CONFIG}/registries.conf.d/own.conf",
            'unqualified-search-registries = ["registry.example.org"]',
        ),
    ),
    Illness(
        "old_storage",
        "note",
        "takes room",
        f"runuser -u alice -- mkdir -p {LEFT}/overlay",
        f"rm -r {LEFT}",
    ),
    Illness(
        "records",
        "warning",
        "runs 99999 cannot be read",
        f"runuser -u alice -- sh -c 'mkdir -p {STATE}/runs/99999 {STATE}/active &&"
        f" echo odd >{STATE}/runs/99999/run.json && touch {STATE}/active/99999'",
        f"rm -r {STATE}/runs/99999 {STATE}/active/99999",
    ),
    Illness("policy_json", "warning", CONFIG, *written(f"{CONFIG}/policy.json", ACCEPT)),
    Illness(
        "containers_conf",
        "warning",
        "pidns",
        *written(f"{CONFIG}/containers.conf", '[containers]\npidns = "host"\n'),
    ),
    Illness(
        "runtime",
        "warning",
        "runc",
        *written(f"{CONFIG}/containers.conf", '[engine]\nruntime = "runc"\n'),
    ),
    Illness("credentials", "warning", "others may read", *written(f"{CONFIG}/auth.json", LOGIN)),
    Illness(
        "safe_data",
        "fault",
        "gets no /safe_data",
        "gpasswd -d alice tre-proj1",
        "gpasswd -a alice tre-proj1",
    ),
)

Look = Callable[[], dict[str, list[dict[str, Any]]]]


@pytest.fixture
def look(backend: Host, alice: User) -> Look:
    """What is found of alice, by root; by the names of the checks."""

    def run() -> dict[str, list[dict[str, Any]]]:
        done = backend.run("root", "ces-doctor --user alice --json")
        found: dict[str, list[dict[str, Any]]] = {}
        raw = json.loads(done.out)
        assert done.rc == (1 if raw["level"] == "fault" else 0)
        for one in raw["findings"]:
            found.setdefault(one["check"], []).append(one)
        return found

    return run


def told(found: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """All that may keep something from working."""
    return {
        check: one["said"]
        for check, several in found.items()
        for one in several
        if one["level"] in ("warning", "fault")
    }


def usual(found: dict[str, str]) -> dict[str, str]:
    """Without limits, which a machine with both versions of cgroups cannot enforce."""
    return {check: said for check, said in found.items() if check not in ("limits", "controllers")}


def test_a_provisioned_host_is_well(alice: User, look: Look) -> None:
    assert usual(told(look())) == {}
    done = alice.run("ces-doctor")
    assert done.rc == 0, done.said
    assert done.out.splitlines()[-1].startswith("alice: 0 faults, ")
    # podman says something of itself in the same time
    assert "Traceback" not in done.said


@pytest.mark.parametrize("illness", ILLNESSES, ids=lambda one: f"{one.check}-{one.part}")
def test_an_illness_is_found_and_gone_after_the_cure(
    backend: Host, look: Look, illness: Illness
) -> None:
    before = told(look())
    assert illness.check not in before
    backend.root(illness.make)
    try:
        found = look()
    finally:
        backend.root(illness.mend)
    one, *_others = [one for one in found[illness.check] if one["level"] == illness.level]
    assert illness.part in one["said"]
    assert one["cure"] or illness.level == "note"
    # one thing that is ill does not keep the others from being looked at
    assert set(found) >= {"user_namespaces", "safe_data", "storage_overlay", "registries_trusted"}
    assert told(look()) == before


def test_a_registry_that_is_down_is_not_waited_for(registry: Host, look: Look) -> None:
    with down(registry):
        assert "does not answer" in told(look())["registries_answering"]
    assert "registries_answering" not in told(look())


def test_a_database_of_another_place(backend: Host, alice: User, look: Look) -> None:
    database = f"{STORAGE}/db.sql"
    before = backend.ask("root", "set_run_root", database=database, value="/tmp/elsewhere")
    try:
        assert "/tmp/elsewhere" in told(look())["databases"]
    finally:
        backend.ask("root", "set_run_root", database=database, value=before)
    assert "databases" not in told(look())
    alice.run("podman info").ok()


def test_ranges_that_podman_does_not_work_with_yet(backend: Host, alice: User, look: Look) -> None:
    alice.run("podman unshare true").ok()
    assert "subid_in_use" not in told(look())
    backend.root("cp -p /etc/subuid /root/kept; sed -i '/^alice:/s/:[0-9]*$/:65000/' /etc/subuid")
    try:
        assert "podman works with other uids" in told(look())["subid_in_use"]
        alice.run("podman system migrate; podman unshare true").ok()
        assert "subid_in_use" not in told(look())
    finally:
        backend.root("cp /root/kept /etc/subuid")
        alice.run("podman system migrate").ok()


def test_runs_that_died_are_told_until_they_are_swept(alice: User, look: Look) -> None:
    number = alice.start_run(alice.image, "-d", "60")
    alice.run(f"pkill -KILL -u alice -f 'ces-run podman {alice.image}'")
    assert f"({number})" in look()["dead_runs"][0]["said"]
    alice.run("ces-clean").ok()
    assert look()["dead_runs"][0]["level"] == "ok"


def test_half_a_host_still_gives_a_whole_report(backend: Host, alice: User, look: Look) -> None:
    well = look()
    # the home is read-only last: alice writes there before
    names = (
        *("subid_given", "id_mappers", "user_bus", "own_registries_conf", "fuse"),
        *("registries_trusted", "engines_installed", "writable"),
    )
    chosen = [next(one for one in ILLNESSES if one.check == name) for name in names]
    made: list[Illness] = []
    try:
        for one in chosen:
            backend.root(one.make)
            made.append(one)
        found = look()
    finally:
        for one in reversed(made):
            backend.root(one.mend)
    assert set(found) == set(well)
    assert {one.check for one in chosen} <= set(told(found))
    assert usual(told(look())) == {}


def test_what_a_user_brings_along_is_told_to_the_user(alice: User) -> None:
    found = json.loads(
        alice.run(
            "export XDG_RUNTIME_DIR=/tmp CONTAINERS_CONF=/no/where; ulimit -n 512;"
            " ces-doctor --json"
        ).out
    )["findings"]
    said = {one["check"]: one["said"] for one in found if one["level"] in ("note", "warning")}
    assert "XDG_RUNTIME_DIR is /tmp" in said["runtime_named"]
    assert "CONTAINERS_CONF" in said["environment"]
    assert "you may have 512 open files" in said["ulimits"]
    assert "ulimits" not in told(usual_findings(alice))


def usual_findings(user: User) -> dict[str, list[dict[str, Any]]]:
    """What the user is told in a usual shell."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(user.run("ces-doctor --json").out)["findings"]:
        found.setdefault(one["check"], []).append(one)
    return found


def test_a_user_sees_what_is_the_users(backend: Host, alice: User) -> None:
    make, mend = written(f"{CONFIG}/registries.conf", "")
    alice.run("ces-doctor").ok()
    backend.root(make)
    try:
        done = alice.run("ces doctor").ok()
    finally:
        backend.root(mend)
    assert f"warning (own_registries_conf): {CONFIG}/registries.conf" in done.out
    done = alice.run("ces-doctor --user bob")
    assert done.rc == 125
    assert "only root may look at another user" in done.err


def test_a_user_who_may_not_run_containers(users: dict[str, User]) -> None:
    done = users["dave"].run("ces-doctor")
    assert done.rc == 1
    assert "fault (writable): dave cannot make podman's storage" in done.out
    assert "adds dave to ces_users" in done.out
    assert "warning (user_directories)" in done.out


def test_nothing_is_left_by_it(backend: Host, alice: User, look: Look) -> None:
    listing = f"cd {HOME}; find . -printf '%p %m %u\\n' | sort"
    before = alice.run(listing).out
    look()
    alice.run("ces-doctor").ok()
    assert alice.run(listing).out == before


def test_as_a_task(play: Play) -> None:
    task = {
        "name": "Look at them",
        "tre.ces.ces_doctor": {"users": ["alice", "dave"]},
        "register": "doctor",
    }
    check = {
        "name": "See what was found",
        "ansible.builtin.assert": {
            "that": [
                "doctor is not changed",
                "doctor.level == 'fault'",
                "doctor.users | map(attribute='level') | list in [['note', 'fault'], "
                "['warning', 'fault'], ['ok', 'fault']]",
            ]
        },
    }
    for options in ([], ["--check"]):
        play("root", [task, check], *options).ok()


def test_a_canary_runs_under_each_engine_and_leaves_nothing(alice: User) -> None:
    before = alice.left()
    done = alice.run("ces-doctor --canary -v").ok()
    for engine in RUNNERS:
        assert f"ok (canary_{engine}): a container with {engine} did its work" in done.out
    assert alice.left() == before
    assert alice.run("ls ~/.local/share/ces/doctor-* $XDG_DATA_HOME/ces/doctor-*").out == ""


def test_a_canary_tells_what_an_engine_says(backend: Host, alice: User) -> None:
    alice.run("podman system migrate").ok()
    backend.root("chmod u-s /usr/bin/newuidmap")
    try:
        done = alice.run("ces-doctor --canary")
    finally:
        backend.root("chmod u+s /usr/bin/newuidmap")
        # podman has made a namespace with the user's own id alone
        alice.run("podman system migrate").ok()
    assert done.rc == 1
    assert "fault (canary_podman): a container with podman does not do its work" in done.out
    assert "canary_oci" not in done.out
