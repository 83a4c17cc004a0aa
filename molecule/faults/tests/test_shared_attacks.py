# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores for all in which a group may write: what its members, and strangers, do to each other."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import User
from remote import Host, answer_of

STORES = {"sif_dir": "/srv/held/sif", "bundle_dir": "/var/held/bundles"}
ENGINES = {"apptainer": "/srv/held/sif", "oci": "/var/held/bundles"}
POLICY = "/etc/ces/policy.json"
OPEN = "registry.tre.test:5000/tre/open-for-all:1.0"
"""An image with a program, a file and directories that everybody may write."""


@pytest.fixture(scope="module")
def login(site: dict[str, Any]) -> str:
    words = ["podman", "login", "--username", site["testbed_registry_user"], "--password-stdin"]
    return shlex.join([*words, "registry.tre.test:5000"])


@pytest.fixture(scope="module")
def held(backend: Host, alice: User, bob: User, site: dict[str, Any], login: str) -> Iterator[User]:
    """Alice, whose group keeps images for all; Bob is in the group too, Carol is not."""
    policy = json.loads(backend.root(f"cat {POLICY}"))
    backend.root(f"install -d -m 2775 -g tre-proj1 {' '.join(STORES.values())}")
    backend.root(f"cp -a {POLICY} {POLICY}.kept; cat >{POLICY}", json.dumps({**policy, **STORES}))
    backend.run("root", login, site["testbed_registry_password"]).ok()
    alice.run(login, site["testbed_registry_password"]).ok()
    alice.run(
        f"podman build --quiet --tag {OPEN} - && podman push --quiet {OPEN}", stdin=BUILD
    ).ok()
    yield alice
    backend.root(f"mv {POLICY}.kept {POLICY}; rm -rf /srv/held /var/held; podman logout --all")
    alice.run("podman logout --all; rm -f *.sif; rm -rf private").ok()


BUILD = """FROM registry.tre.test:5000/tre/hello-tre:1.0
ENTRYPOINT ["/bin/sh", "-c"]
RUN umask 0 && mkdir -p /opt/open /tmp && chmod 1777 /tmp && echo x >/opt/open/file
"""


@pytest.fixture(scope="module")
def kept(held: User) -> User:
    """Alice, who has pulled that image for all."""
    for engine in ENGINES:
        held.run(f"cd ~ && ces-pull {engine} {OPEN}", timeout=180).ok()
    return held


@pytest.mark.parametrize("engine", ENGINES)
def test_root_keeps_nothing_where_others_could_mislead_it(
    held: User, backend: Host, engine: str
) -> None:
    done = backend.run("root", f"cd /root && ces-pull {engine} {held.image}")
    assert (done.rc, "root does nothing where others could mislead it" in done.err) == (125, True)
    assert backend.root(f"ls -A {ENGINES[engine]}") == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_member_swaps_while_another_pulls_leads_to_no_file_of_theirs(
    held: User, bob: User, backend: Host, engine: str
) -> None:
    """Bob renames all that is unfinished, and puts a link to a directory of Alice's there."""
    held.run("umask 077; mkdir -p private/whole/rootfs; echo x >private/whole/rootfs/secret").ok()
    look = "find private -printf '%p %m\\n' | sort"
    before = held.run(look).ok().out
    store = ENGINES[engine]
    backend.root(f"install -d -m 2775 -o alice -g tre-proj1 {store}/digests")
    parameters = {"directories": [store, f"{store}/digests"], "target": f"{held.home}/private"}
    attack = backend.begin("bob", "swap_rooms", **parameters)
    # it may fail, since what it made is gone
    held.run(f"cd ~ && ces-pull {engine} --force {held.image}", timeout=180)
    swapped = answer_of(attack)
    assert held.run(look).ok().out == before, f"{swapped} swapped"
    backend.root(f"rm -rf {store}/digests")


def test_what_a_member_swaps_while_another_makes_a_bundle_leads_to_no_file_of_theirs(
    kept: User, bob: User, backend: Host
) -> None:
    """In the project's directory, which all members may write."""
    place = "/safe_data/proj1"
    kept.run("rm -rf private; umask 077; mkdir private").ok()
    parameters = {"directories": [place], "target": f"{kept.home}/private"}
    attack = backend.begin("bob", "swap_rooms", **parameters)
    said = [kept.run(f"ces-bundle --copy --to {place}/bundle {OPEN}").said for _try in range(5)]
    swapped = answer_of(attack)
    assert swapped > 0
    assert "others may write in /safe_data/proj1" in said[0]
    assert "somebody put something else in its place" in "".join(said)
    assert kept.run("find private").ok().out == "private\n", f"{swapped} swapped"
    backend.root(f"rm -rf {place}/bundle*")
    made = kept.run(f"ces-bundle --to {place}/bundle {OPEN} true").ok()
    assert made.out == f"{place}/bundle\n"
    backend.root(f"rm -rf {place}/bundle*")


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_image_lets_everybody_write_only_its_owner_may_write(
    kept: User, carol: User, engine: str
) -> None:
    found = carol.run(f"find {ENGINES[engine]}/digests/* -perm /o+w ! -type l").ok()
    assert (found.out, found.err) == ("", "")
    script = "touch /tmp/x && echo y >/opt/open/file && cat /opt/open/file"
    options = ("--writable-tmpfs",) if engine == "apptainer" else ()
    line = shlex.join(["ces-run", engine, "--opt-file", "/dev/stdin", OPEN, script])
    assert kept.run(f"cd ~ && {line}", stdin="\n".join(options)).ok().out == "y\n"


def test_another_members_run_has_a_temporary_directory(kept: User, bob: User) -> None:
    script = "touch /tmp/x /new && stat -c %a /tmp"
    done = bob.command("ces-run", "oci", "--project", "proj1", "--pull", "never", OPEN, script)
    assert done.ok().out == "1777\n"


def test_a_stranger_who_holds_every_lock_holds_nobody_up(
    kept: User, carol: User, backend: Host
) -> None:
    hold = "find /var/held/bundles -type f -name '[is]*' 2>/dev/null | grep -E 'locks/|image.json'"
    line = f"for f in $({hold}); do flock -n $f sleep 300 & done; echo held; wait"
    holding = backend.start("carol", line)
    try:
        assert holding.stdout and holding.stdout.readline() == "held\n"
        assert kept.command("ces-run", "oci", OPEN, "echo ran").ok().out == "ran\n"
        kept.command("ces-pull", "oci", "--force", OPEN).ok()
    finally:
        carol.run("pkill -u carol sleep")
        holding.kill()


def test_who_waits_for_a_member_learns_for_whom(kept: User, bob: User, backend: Host) -> None:
    lock = "locks/$(basename $(readlink names/*open-for-all*))"
    line = f"cd /var/held/bundles && flock {lock} sh -c 'echo held; exec cat'"
    holding = backend.start("bob", line)
    assert holding.stdout and holding.stdout.readline() == "held\n"
    waiting = backend.start("alice", f"exec ces-pull oci --force {OPEN}")
    assert waiting.stderr and "bob (process " in waiting.stderr.readline()
    holding.communicate(timeout=30)
    assert waiting.wait(timeout=60) == 0


def test_a_name_that_a_member_made_leads_to_nothing_of_others(kept: User, bob: User) -> None:
    kept.run("echo precious >~/precious").ok()
    bob.run(f"cd /srv/held/sif/names && ln -sfn {kept.home}/precious *open-for-all*").ok()
    assert kept.command("ces-rm", "apptainer", OPEN).rc == 125
    assert kept.run("cat ~/precious; rm ~/precious").ok().out == "precious\n"
