# SPDX-License-Identifier: GPL-3.0-or-later
"""Apptainer on hosts that lack what it needs, and images that lack what is usual."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import User
from remote import Host

REGISTRY = "registry.tre.test:5000"
BARE = f"{REGISTRY}/tre/bare:1.0"


@pytest.fixture(scope="module")
def owner(alice: User, site: dict[str, Any]) -> Iterator[User]:
    """Alice, with the image and one that holds a single program, as files."""
    login = f"podman login --username {site['testbed_registry_user']} --password-stdin {REGISTRY}"
    alice.run(login, stdin=site["testbed_registry_password"]).ok()
    recipe = (
        f"FROM {alice.image} AS shell\nFROM scratch\n"
        'COPY --from=shell /bin/busybox /echo\nENTRYPOINT ["/echo", "nothing but this"]\n'
    )
    build = f"podman build --quiet --tag {BARE} - && podman push --quiet {BARE}"
    alice.run(build, stdin=recipe).ok()
    for image in (alice.image, BARE):
        alice.run(f"cd ~ && ces-pull apptainer {image}").ok()
    yield alice
    alice.run(f"podman logout {REGISTRY}").ok()


@pytest.fixture
def without(backend: Host) -> Iterator[Callable[[str], None]]:
    """Take programs away from the host."""
    gone = []

    def take(pattern: str) -> None:
        backend.root(f"for f in {pattern}; do mv $f $f.away; done")
        gone.append(pattern)

    yield take
    for pattern in gone:
        backend.root(f"for f in {pattern}.away; do mv $f ${{f%.away}}; done")


@pytest.fixture
def read_only_home(owner: User) -> Iterator[str]:
    """Where she keeps image files, on a file system that cannot be written."""
    owner.host.root(f"mkdir -p /mnt/ces-ro && mount -t tmpfs -o ro,uid={owner.uid} ro /mnt/ces-ro")
    yield "/mnt/ces-ro"
    owner.host.root("umount /mnt/ces-ro && rmdir /mnt/ces-ro")


def test_an_image_without_a_shell_runs(owner: User) -> None:
    done = owner.run(f"cd ~ && ces-run apptainer {BARE}").ok()
    assert done.out.splitlines()[-1] == "nothing but this"


def test_without_squashfuse_an_image_is_unpacked_and_runs(
    owner: User, without: Callable[[str], None]
) -> None:
    without("/usr/bin/squashfuse*")
    assert "Goodbye" in owner.run(f"cd ~ && ces-run apptainer {owner.image}").ok().out
    assert owner.left() == {}
    assert owner.host.root("find /tmp /var/tmp -name 'rootfs-*'") == ""


def test_without_any_way_to_open_an_image_the_role_is_named(
    owner: User, without: Callable[[str], None]
) -> None:
    without("/usr/bin/squashfuse*")
    without("/usr/bin/unsquashfs")
    done = owner.run(f"cd ~ && ces-run apptainer {owner.image}")
    assert done.rc == 125, done
    assert "role apptainer" in done.err
    assert owner.left() == {}


def test_without_user_namespaces_the_role_is_named(owner: User) -> None:
    """The kernel's own switch is for the whole machine; systemd's refuses them to one service."""
    words = [
        *("systemd-run", "--quiet", "--wait", "--pipe", f"--uid={owner.name}"),
        *("-p", "RestrictNamespaces=~user", "-p", f"WorkingDirectory={owner.home}"),
        *("ces-run", "apptainer", owner.image),
    ]
    done = owner.host.run("root", shlex.join(words))
    assert done.rc == 125, done
    assert "user namespace" in done.err
    assert "role apptainer" in done.err
    assert owner.left() == {}


def test_a_store_that_cannot_be_written_is_told(owner: User, read_only_home: str) -> None:
    line = f"cd /tmp && XDG_DATA_HOME={read_only_home} ces-pull apptainer {owner.image}"
    done = owner.run(line)
    assert done.rc == 125, done
    assert "Read-only file system" in done.err and read_only_home in done.err


def test_a_cache_that_cannot_be_written_is_no_obstacle(owner: User, read_only_home: str) -> None:
    """Nothing of ours is kept there: it would hold every image twice."""
    line = f"cd ~ && APPTAINER_CACHEDIR={read_only_home} ces-pull apptainer --force {owner.image}"
    assert "Creating SIF file" in owner.run(line, timeout=300).ok().err
