# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry that refuses, is down, silent or dies in mid-pull; pulls that are told to end."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import IntoRegistry, Push, User, down, start
from remote import Host, wait_until

LARGE = 400 << 20
"""Bytes of a layer: a second and more on the way, on the fastest machine."""


@dataclass(frozen=True)
class Image:
    """An image that takes a while to pull."""

    name: str
    layer: str


@pytest.fixture(scope="session")
def push(into_registry: IntoRegistry, site: dict[str, Any]) -> Callable[[str, int], Image]:
    """Put an image into the registry: ``push("tre/large", bytes)``."""

    def run(path: str, size: int) -> Image:
        layer = into_registry("push_layer", path=path, tag="1.0", size=size)
        return Image(f"{site['testbed_registry']}/{path}:1.0", layer)

    return run


@pytest.fixture(scope="session")
def large(push: Callable[[str, int], Image]) -> Image:
    return push("tre/large", LARGE)


@pytest.fixture
def puller(users: dict[str, User], large: Image) -> Iterator[User]:
    """Somebody who has not got the large image, nor anything else that is half done."""
    user = users["carol"]
    user.run(f"ces-rm {large.name}; podman image prune --force")
    yield user
    assert user.left() == {}


def test_a_wrong_password_is_refused_and_not_repeated(alice: User) -> None:
    wrong = "s3cret '\"$HOME`id`"
    done = alice.pull(password=wrong)
    assert done.rc == 125
    assert "it does not accept the user name and token" in done.err
    assert "check both" in done.err
    assert "s3cret" not in done.said
    assert alice.left() == {}


def test_no_password_is_refused_with_how_to_give_one(users: dict[str, User]) -> None:
    done = users["user0"].command("ces-pull", "podman", "registry.tre.test:5000/tre/other:1.0")
    assert done.rc == 125
    assert "ces-pull --username" in done.err


def test_a_missing_tag_is_told(alice: User) -> None:
    done = alice.pull(alice.image.replace(":1.0", ":no-such"))
    assert done.rc == 125
    assert "the registry has no such image or tag" in done.err


def test_a_record_names_the_digest_that_the_registry_has_under_that_name(
    alice: User, push_images: Push
) -> None:
    """Images that differ in their manifests alone are one image to podman."""
    names = ("tre/twin-a:1.0", "tre/twin-b:1.0", "tre/twin-b:2.0")
    digests = push_images([{"name": name, "annotations": {"built": name}} for name in names])
    assert len(set(digests.values())) == 3
    for image in digests:
        alice.pull(image).ok()
    for image, digest in digests.items():
        assert f"unchanged ({digest})" in alice.pull(image).ok().out
        ran = json.loads(alice.command("ces-run", "podman", "--json", image).ok().out)
        assert ran["digest"] == digest
    listed = json.loads(alice.command("ces-images", "--json").ok().out)
    images = [image for image in listed if image["runner"] == "podman"]
    found = {name: image["digest"] for image in images for name in image["names"]}
    assert {image: found[image] for image in digests} == digests


def test_a_registry_that_is_down_is_told_and_images_that_are_here_still_run(
    alice: User, registry: Host
) -> None:
    with down(registry):
        done = alice.pull()
        ran = alice.command("ces-run", "podman", alice.image)
    assert done.rc == 125
    assert "registry.tre.test:5000 does not answer" in done.err
    assert "try again later" in done.err
    assert ran.rc == 0
    assert alice.left() == {}


@dataclass
class Pull:
    """A pull that is under way: bytes of the layer have arrived."""

    user: User
    process: subprocess.Popen[str]
    pid: int

    @classmethod
    def begin(cls, user: User, image: Image, site: dict[str, Any]) -> Pull:
        words = ["ces-pull", "podman", "--username", site["testbed_registry_user"]]
        line = shlex.join([*words, "--password-stdin", image.name])
        process = user.host.start(user.name, f"echo $$; exec {line}")
        assert process.stdin and process.stdout
        process.stdin.write(site["testbed_registry_password"])
        process.stdin.close()
        process.stdin = None
        pid = int(process.stdout.readline())
        arriving = f"find /var/lib/tre-ces/containers/tmp -user {user.name} -size +1M | grep -q ."
        wait_until(lambda: user.host.run("root", arriving).rc == 0, "the layer to arrive")
        return cls(user, process, pid)

    def end(self, timeout: float = 60) -> tuple[int, str]:
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out + err

    def signal(self, name: str) -> None:
        self.user.run(f"kill -{name} {self.pid}").ok()


@contextmanager
def silent(registry: Host) -> Iterator[None]:
    """The registry neither answers nor ends: whoever pulls, waits."""
    registry.root("systemctl kill --signal=STOP docker-registry")
    try:
        yield
    finally:
        registry.root("systemctl kill --signal=CONT docker-registry")


def no_part_is_left(user: User, image: Image) -> None:
    assert image.name not in user.command("ces-images").ok().out
    parts = "find /var/lib/tre-ces/containers/tmp /var/tmp /tmp"
    wait_until(
        lambda: user.host.root(f"{parts} -user {user.name} -size +1k") == "",
        f"parts of the image to be removed, of which there is {user.host.root(parts)}",
        5,
    )


def test_a_registry_that_dies_in_mid_pull_is_told_and_the_next_pull_works(
    puller: User, registry: Host, large: Image, site: dict[str, Any]
) -> None:
    pull = Pull.begin(puller, large, site)
    registry.root("systemctl kill --signal=KILL docker-registry; systemctl stop docker-registry")
    try:
        rc, said = pull.end()
    finally:
        start(registry)
    assert rc == 125, said
    assert f"could not pull {large.name}" in said
    assert "the registry does not answer: try later" in said
    no_part_is_left(puller, large)
    assert puller.left() == {}
    assert puller.pull(large.name).rc == 0


@pytest.mark.parametrize(("name", "status"), [("TERM", 143), ("INT", 130)])
def test_a_signal_in_mid_pull_ends_it_and_leaves_nothing(
    puller: User, registry: Host, large: Image, site: dict[str, Any], name: str, status: int
) -> None:
    pull = Pull.begin(puller, large, site)
    with silent(registry):
        pull.signal(name)
        rc, said = pull.end(timeout=30)
    assert rc == status, said
    assert f"stopped by SIG{name}" in said
    assert puller.left() == {}
    no_part_is_left(puller, large)


@pytest.mark.parametrize("next_command", ["ces-clean", "ces-pull"])
def test_after_sigkill_in_mid_pull_the_next_command_clears_away(
    puller: User, registry: Host, large: Image, site: dict[str, Any], next_command: str
) -> None:
    pull = Pull.begin(puller, large, site)
    with silent(registry):
        pull.signal("KILL")
        pull.end()
        assert "secrets" in puller.left(), "the auth file of a pull that is still going on"
        if next_command == "ces-clean":
            puller.command("ces-clean").ok()
            assert puller.left() == {}
    if next_command == "ces-pull":
        assert puller.pull(large.name).rc == 0
        assert puller.left() == {}
    else:
        no_part_is_left(puller, large)


def test_twenty_pulls_at_once_are_one_transfer(
    users: dict[str, User], registry: Host, push: Callable[[str, int], Image], site: dict[str, Any]
) -> None:
    image = push("tre/wanted", 64 << 20)
    user = users["carol"]
    words = ["ces-pull", "podman", "--username", site["testbed_registry_user"]]
    command = {
        "argv": [*words, "--password-stdin", image.name],
        "stdin": site["testbed_registry_password"],
    }
    answers = user.host.ask(user.name, "run_each", commands=[command] * 20, at_once=True)
    assert [(status, said) for status, said, _seconds in answers if status] == []
    journal = registry.root(f"journalctl --quiet --output=cat --grep='GET .*{image.layer} HTTP'")
    assert len(journal.splitlines()) == 1
    assert any(": pulled (" in said for _status, said, _seconds in answers)
    assert user.left() == {}
