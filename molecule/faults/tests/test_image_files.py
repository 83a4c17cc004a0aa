# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as files: damaged, foreign, half-made, stale, made by many at once."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import User

FILE = "hello-tre:1.0.sif"
STORE = ".local/share/ces/sif"


@pytest.fixture(scope="module")
def owner(alice: User, site: dict[str, Any]) -> Iterator[User]:
    """Alice, with the image as a file in her home directory."""
    login = shlex.join(
        ["podman", "login", "--username", site["testbed_registry_user"], "--password-stdin"]
    )
    alice.run(f"{login} registry.tre.test:5000", stdin=site["testbed_registry_password"]).ok()
    alice.run(f"cd ~ && ces-pull apptainer {alice.image}").ok()
    yield alice
    alice.run("podman logout registry.tre.test:5000").ok()


def test_a_file_runs_like_the_image(owner: User) -> None:
    done = owner.run(f"cd ~ && ces-run apptainer {FILE} --name Ada").ok()
    assert "Goodbye Ada!" in done.out


def test_a_repeated_pull_converts_nothing(owner: User) -> None:
    before = owner.run(f"stat -c '%i %Y' {STORE}/digests/*").ok().out
    done = owner.run(f"cd ~ && ces-pull apptainer {owner.image}").ok()
    assert ": unchanged (sha256:" in done.out
    assert owner.run(f"stat -c '%i %Y' {STORE}/digests/*").ok().out == before


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("head -c 300000 {file} >bad.sif", "file is damaged"),
        (
            "cp {file} bad.sif && printf XXXX | dd of=bad.sif bs=1 seek=40960 conv=notrunc",
            "file is damaged",
        ),
        (
            "cp {file} bad.sif && printf 04 | dd of=bad.sif bs=1 seek=45 conv=notrunc",
            "it is for arm64",
        ),
        ("cp /etc/passwd bad.sif", "it is no SIF file"),
        (": >bad.sif", "it is no SIF file"),
        ("ln -sf /nowhere bad.sif", "answer: /nowhere is not there\n  to do:  ces-pull apptainer"),
    ],
    ids=["cut short", "overwritten", "another processor's", "text", "empty", "absent"],
)
def test_a_bad_file_is_an_error_of_ours(owner: User, damage: str, says: str) -> None:
    command = damage.format(file=FILE)
    done = owner.run(
        f"cd ~ && rm -f bad.sif && {{ {command}; }} 2>/dev/null && ces-run apptainer ./bad.sif"
    )
    assert done.rc == 125, done
    assert says in done.err
    assert owner.left() == {}


def test_a_moved_tag_is_noticed(owner: User) -> None:
    moved = "registry.tre.test:5000/tre/moved:1.0"
    for label in ("one", "two"):
        build = f"podman build --quiet --tag {moved} - && podman push --quiet {moved}"
        owner.run(build, stdin=f"FROM {owner.image}\nLABEL n={label}\n").ok()
        if label == "one":
            owner.run(f"cd ~ && ces-pull apptainer {moved}").ok()
    before = owner.run("readlink moved:1.0.sif").ok().out
    stale = owner.run(f"cd ~ && ces-pull apptainer --reuse-sif {moved}").ok()
    assert "is stale: the registry has sha256:" in stale.err
    assert owner.run("readlink moved:1.0.sif").ok().out == before
    assert ": pulled (sha256:" in owner.run(f"cd ~ && ces-pull apptainer {moved}").ok().out
    assert owner.run("readlink moved:1.0.sif").ok().out != before


def test_a_file_of_ones_own_is_not_overwritten(owner: User) -> None:
    owner.run(f"mkdir -p ~/own && echo mine >~/own/{FILE}").ok()
    done = owner.run(f"cd ~/own && ces-pull apptainer {owner.image}")
    assert done.rc == 125
    assert "which ces-pull did not make" in done.err
    assert owner.run(f"cat ~/own/{FILE}").ok().out == "mine\n"


def test_many_pulls_convert_once(owner: User) -> None:
    owner.run(f"rm -rf {STORE}").ok()
    each = f"ces-pull apptainer {owner.image} >pull-$i.out 2>pull-$i.err"
    pulls = f"cd ~; for i in 1 2 3 4 5 6 7 8; do {each} & done; wait; cat pull-*.out"
    done = owner.run(pulls, timeout=180).ok()
    assert done.out.count("(sha256:") == 8, done
    converted = owner.run("cat pull-*.err").ok().out.count("Creating SIF file")
    assert converted == 1
    assert len(owner.run(f"ls {STORE}/digests").ok().out.split()) == 1


@pytest.mark.parametrize("killed", ["$p", "$p $(pgrep -u $(id -u) apptainer)"])
def test_a_killed_conversion_leaves_nothing(owner: User, killed: str) -> None:
    owner.run(f"rm -rf {STORE}").ok()
    owner.run(
        f"cd ~; setsid ces-pull apptainer {owner.image} >/dev/null 2>&1 & p=$!; "
        "for i in $(seq 200); do pgrep -u $(id -u) -x apptainer && break; sleep 0.02; done; "
        f"kill -KILL {killed}; true"
    )
    time.sleep(2)  # what a dead pull left is told from what a living one has just made by its age
    owner.run("ces-clean").ok()
    assert owner.run(f"ls {STORE}/digests/*.sif 2>/dev/null").out == ""
    assert owner.run("pgrep -a -u $(id -u) 'apptainer|starter|mksquashfs'").out == ""
    assert owner.run("ls -A /var/lib/tre-ces/apptainer/$(id -u)/tmp").ok().out == ""
    assert owner.left() == {}
    owner.run(f"cd ~ && ces-pull apptainer {owner.image}").ok()
    assert owner.run(f"ls -A {STORE}/digests").ok().out.count("\n") == 1


def test_no_room_for_a_file(owner: User) -> None:
    # a file system of a megabyte, mounted for her by root
    owner.host.root(
        "mkdir -p /home/alice/small && "
        f"mount -t tmpfs -o size=700k,uid={owner.uid} ces-small /home/alice/small"
    )
    try:
        done = owner.run(f"cd ~ && XDG_DATA_HOME=$HOME/small ces-pull apptainer {owner.image}")
        assert done.rc == 125
        assert "free some space" in done.err
        assert owner.run("find ~/small -name '*.sif' -o -name '*.tmp'").ok().out == ""
    finally:
        owner.host.root("umount /home/alice/small")


def test_the_token_is_given_by_file(owner: User, site: dict[str, Any]) -> None:
    owner.run(f"rm -rf {STORE}; podman logout registry.tre.test:5000").ok()
    words = [
        "ces-pull",
        "apptainer",
        "--username",
        site["testbed_registry_user"],
        "--password-stdin",
    ]
    line = shlex.join([*words, owner.image])
    assert owner.run(f"cd ~ && {line}", stdin="wrong").rc == 125
    owner.run(f"cd ~ && {line}", stdin=site["testbed_registry_password"]).ok()
    assert owner.left() == {}
    login = shlex.join(
        ["podman", "login", "--username", site["testbed_registry_user"], "--password-stdin"]
    )
    owner.run(f"{login} registry.tre.test:5000", stdin=site["testbed_registry_password"]).ok()


LED_ASTRAY = """#!/bin/sh
# the engine itself, but for the conversion: that writes and looks where links of an image may lead
case $1 in --*) exec /usr/bin/apptainer "$@" ;; esac
for place in /home/alice/kept /safe_data/proj1 /run/user/2001/bus; do
    test -e $place && echo "sees $place"
done
for file in /home/alice/kept /safe_data/proj1/kept /home/alice/.local/share/ces/sif/digests/*; do
    echo changed >$file
done
mkdir /home/alice/made
for file in /etc/hosts /usr/kept /proc/sys/kernel/domainname; do
    { echo changed >$file; } 2>/dev/null && echo "changed $file"
done
exit 255
"""


def test_a_conversion_changes_nothing_but_its_own_file(owner: User) -> None:
    """Where links of an image lead is nowhere of the host's."""
    files = f"~/kept /safe_data/proj1/kept {STORE}/digests/*"
    owner.run("echo mine | tee ~/kept >/safe_data/proj1/kept; mkdir -p /tmp/astray/bin").ok()
    owner.run("cat >/tmp/astray/bin/apptainer; chmod +x /tmp/astray/bin/apptainer", LED_ASTRAY).ok()
    before = owner.run(f"sha256sum {files}").ok().out
    another = f"{owner.image}-astray"
    build = f"podman build --quiet --tag {another} - && podman push --quiet {another}"
    owner.run(build, f"FROM {owner.image}\nLABEL led=astray\n").ok()
    try:
        done = owner.run(f"cd ~ && PATH=/tmp/astray/bin:$PATH ces-pull apptainer {another}")
        assert done.rc == 125, done
        assert "sees" not in done.out + done.err
        assert "changed" not in done.out + done.err
        assert owner.run(f"sha256sum {files}; ls -d ~/made").out == before
    finally:
        made = "~/kept ~/made /safe_data/proj1/kept /tmp/astray"
        owner.run(f"rm -rf {made}; podman rmi -f {another}")
