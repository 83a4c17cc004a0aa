# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's file system that never answers, below what root's programs look at: nothing hangs."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import JOB, TOP, Slurms, User, playbook
from remote import Host

BOUND = 10.0
"""Seconds that docs/security.md promises of the epilog."""
STARTS = 3.0
"""Seconds that ssh and Python may take on a busy machine."""


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
    backend: Host, bob: User, slurms: Slurms, point: str
) -> None:
    with silent(bob, point):
        assert slurms("prolog", bob.uid) < STARTS
        there = f"cat /run/tre-ces-slurm/{JOB}.conf"
        assert f"# user {bob.uid}" in backend.root(there)
        assert slurms("epilog", bob.uid) < BOUND + STARTS
        assert backend.run("root", there).rc == 1


def test_a_playbook_ends_in_time_and_tells_of_it(bob: User) -> None:
    begin = time.monotonic()
    people = json.dumps({"container_storage_users": ["bob"]})
    words = ["--tags=container_storage", "--limit=ces_backends", f"--extra-vars={people}"]
    with silent(bob, f"{bob.home}/.config/containers"):
        done = playbook(TOP / "playbooks/backend.yml", *words, timeout=240)
    assert time.monotonic() - begin < 120
    assert "did not answer within 15 s" in " ".join(done.said.split()), done.said[-3000:]
