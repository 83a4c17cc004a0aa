# SPDX-License-Identifier: GPL-3.0-or-later
"""ces-images --prune removes images that were not used, and keeps images that a run needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import TOP, User, playbook
from remote import Host, wait_until

ENGINES = ("podman", "apptainer", "oci")
MARKS = ".local/state/ces/images"
TIMER = "tre-ces-prune.timer"


@pytest.fixture
def owner(signed_in: User) -> Iterator[User]:
    """Alice, with the image under each engine."""
    for engine in ENGINES:
        signed_in.command("ces-pull", engine, signed_in.image).ok()
    yield signed_in
    signed_in.command("ces-pull", "podman", signed_in.image).ok()


def images(user: User) -> dict[str, dict[str, Any]]:
    """The image as each engine has it."""
    listed = json.loads(user.command("ces-images", "--json").ok().out)
    return {image["runner"]: image for image in listed if user.image in image["names"]}


def age(user: User, engine: str, days: int) -> None:
    user.run(f"touch -d '{days} days ago' {MARKS}/{engine}-{images(user)[engine]['id']}").ok()


def prune(user: User, *words: str) -> dict[str, str]:
    """Why the image stays under each engine; empty where it went."""
    done = user.command("ces-images", "--prune", "--json", *words).ok()
    found = [one for one in json.loads(done.out) if one["image"] == user.image]
    assert all(one["removed"] == (not one["kept"]) for one in found)
    return {one["runner"]: one["kept"] for one in found}


def test_each_engine_loses_what_was_not_used_and_keeps_what_was(owner: User) -> None:
    before = images(owner)
    assert set(before) == set(ENGINES)
    assert all(image["used"] for image in before.values())
    for engine in ENGINES:
        age(owner, engine, 40)
    owner.command("ces-run", "apptainer", owner.image).ok()
    expected = {"podman": "", "oci": "", "apptainer": "it was used since"}
    assert prune(owner, "--keep-days", "30", "--dry-run") == expected
    assert set(images(owner)) == set(ENGINES)
    assert prune(owner, "--keep-days", "30") == expected
    assert set(images(owner)) == {"apptainer"}
    assert owner.run(f"podman image exists {owner.image}").rc == 1
    left = owner.run(f"ls {MARKS}").ok().out.split()
    assert [name for name in left if before["podman"]["id"] in name] == []


@pytest.mark.parametrize("engine", ENGINES)
def test_an_image_stays_while_a_run_needs_it(owner: User, engine: str) -> None:
    number = owner.last_number() + 1
    line = f"ces-run {engine} {owner.image} -d 300"
    owner.run(f"setsid {line} >/dev/null 2>&1 </dev/null &").ok()
    log = f".local/state/ces/runs/{number}/output.log"
    wait_until(lambda: owner.run(f"test -s {log}").rc == 0, f"run {number} to say something")
    age(owner, engine, 400)
    assert prune(owner)[engine] == "a run needs it"
    owner.command("ces-stop", str(number)).ok()
    assert prune(owner)[engine] == ""


def test_a_pull_that_cannot_fit_transfers_nothing(owner: User, backend: Host) -> None:
    store = f"{owner.home}/.local/share/ces/sif"
    age(owner, "oci", 1000)
    owner.command("ces-rm", "apptainer", owner.image).ok()
    backend.root(f"mount -t tmpfs -o size=64k,mode=0777 none {store}")
    try:
        done = owner.command("ces-pull", "apptainer", owner.image)
        assert done.rc == 125
        assert f"{store} has " in done.err and " free" in done.err
        assert "ces-images --prune" in done.err
        assert f"ces-rm oci {owner.image}" in done.err
        assert "Not used for the longest time: ces-rm " in done.err
        assert owner.run(f"find {store} -type f").out == ""
    finally:
        backend.root(f"umount {store}")


def test_the_site_has_a_timer_in_each_session_and_takes_it_back(
    owner: User, site: dict[str, Any]
) -> None:
    words = ["--limit=ces_backends", "--tags=ces_tools"]
    policy = json.dumps({"ces_policy": {**site["ces_policy"], "image_keep_days": 30}})
    age(owner, "podman", 40)
    try:
        done = playbook(TOP / "playbooks/backend.yml", *words, f"--extra-vars={policy}")
        assert done.rc == 0, done.said
        assert owner.run(f"systemctl --user is-active {TIMER}").out.strip() == "active"
        assert "tre-ces-prune" in owner.run("systemctl --user list-timers --all").out
        owner.run("systemctl --user start tre-ces-prune.service").ok()
        assert "podman" not in images(owner)
        again = playbook(TOP / "playbooks/backend.yml", *words, f"--extra-vars={policy}")
        assert "changed=0" in again.said, again.said
    finally:
        done = playbook(TOP / "playbooks/backend.yml", *words)
        assert done.rc == 0, done.said
    wait_until(
        lambda: owner.run(f"systemctl --user is-active {TIMER}").out.strip() != "active",
        "the timer to end",
    )
