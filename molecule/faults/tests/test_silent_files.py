# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's file system that never answers, below what root's programs look at: nothing hangs."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from conftest import SITE, TOP, User, playbook
from remote import Host

JOB = 4711
PROGRAMS = "/root/of-slurm"
BOUND = 10.0
"""Seconds that docs/security.md promises of the epilog."""
STARTS = 3.0
"""Seconds that ssh and Python may take on a busy machine."""


@pytest.fixture(scope="module")
def slurms(backend: Host) -> Iterator[Callable[[str], float]]:
    """Run the prolog or the epilog of the role slurm_oci as Slurm does; the seconds it took."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(TOP / "roles/slurm_oci/files", ".")
    backend.root(
        f"mkdir {PROGRAMS}; base64 -d | tar -C {PROGRAMS} -xz",
        b64encode(packed.getvalue()).decode(),
    )
    uid = {person["name"]: person["uid"] for person in SITE["testbed_people"]}["bob"]
    names = {"ID": JOB, "UID": uid, "GID": uid}
    words = " ".join(f"SLURM_JOB_{name}={value}" for name, value in names.items())

    def run(program: str) -> float:
        begin = time.monotonic()
        backend.root(f"{words} SLURMD_NODENAME=node timeout 60 {PROGRAMS}/{program} </dev/null")
        return time.monotonic() - begin

    yield run
    backend.root(f"rm -r {PROGRAMS}; rmdir --ignore-fail-on-non-empty /run/tre-ces-slurm")


def test_a_mount_points_name_breaks_nobody_elses_run(alice: User, users: dict[str, User]) -> None:
    """Only a line feed ends a line of the kernel's table, and only a space a field."""
    for name in ("a\rb", "a\u00a0b"):
        with silent(users["bob"], f"/home/bob/{name}"):
            alice.command("ces-run", "--read-only", "podman", alice.image).ok()
            said = alice.run("ces-doctor").said
            assert "could not be looked at" not in said, said


@contextmanager
def silent(user: User, point: str) -> Iterator[None]:
    child = user.host.begin(user.name, "silent_files", point=point)
    try:
        yield
    finally:
        child.communicate(timeout=30)
        quoted = shlex.quote(point)
        there = f"grep -qF -- ' '{quoted}' fuse' /proc/mounts"
        user.run(f"if {there}; then fusermount3 -u -z {quoted}; fi").ok()


@pytest.mark.parametrize(
    "point",
    [
        "/home/bob/.config/containers",
        "/home/bob/.local/state/ces",
        "/run/user/2002/containers",
        "/run/user/2002/tre-ces-slurm",
        "/run/user/2002/ces",
        "/run/user/2002",
    ],
)
def test_prolog_and_epilog_end_in_time(
    backend: Host, bob: User, slurms: Callable[[str], float], point: str
) -> None:
    with silent(bob, point):
        assert slurms("prolog") < STARTS
        there = f"cat /run/tre-ces-slurm/{JOB}.conf"
        assert f"# user {bob.uid}" in backend.root(there)
        assert slurms("epilog") < BOUND + STARTS
        assert backend.run("root", there).rc == 1


def test_a_playbook_ends_in_time_and_tells_of_it(bob: User) -> None:
    begin = time.monotonic()
    people = json.dumps({"container_storage_users": ["bob"]})
    words = ["--tags=container_storage", "--limit=ces_backends", f"--extra-vars={people}"]
    with silent(bob, f"{bob.home}/.config/containers"):
        done = playbook(TOP / "playbooks/backend.yml", *words, timeout=240)
    assert time.monotonic() - begin < 120
    assert "did not answer within 15 s" in " ".join(done.said.split()), done.said[-3000:]
