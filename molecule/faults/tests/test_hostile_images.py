# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that were made to break what pulls and runs them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import IntoRegistry, User
from engines import RUNNERS
from remote import Done, Host

POLICY = "/etc/ces/policy.json"
LIMIT = 4 << 20


@pytest.fixture(scope="module")
def push(into_registry: IntoRegistry, site: dict[str, Any]) -> Callable[..., str]:
    """Put a hostile image into the registry; its name."""

    def run(name: str, size: int = 10, **more: object) -> str:
        into_registry("push_layer", path=f"tre/{name}", tag="1.0", size=size, **more)
        return f"{site['testbed_registry']}/tre/{name}:1.0"

    return run


@pytest.fixture
def pull(alice: User, site: dict[str, Any]) -> Callable[[str, str], Done]:
    def run(engine: str, image: str) -> Done:
        words = ["ces-pull", engine, "--username", site["testbed_registry_user"]]
        line = shlex.join([*words, "--password-stdin", image])
        return alice.run(f"cd ~ && {line}", stdin=site["testbed_registry_password"])

    return run


@pytest.fixture
def limited(backend: Host) -> Iterator[None]:
    before = backend.root(f"cat {POLICY}")
    changed = {**json.loads(before), "image_size_limit": "4MiB"}
    backend.root(f"cat >{POLICY}", json.dumps(changed))
    yield
    backend.root(f"cat >{POLICY}", before)


@pytest.mark.parametrize(("engine", "claims"), [("oci", 1), *((name, -1) for name in RUNNERS)])
def test_what_arrives_counts_and_not_what_a_manifest_says(
    push: Callable[..., str],
    pull: Callable[[str, str], Done],
    limited: None,
    engine: str,
    claims: int,
) -> None:
    done = pull(engine, push(f"liar-{engine}", 7 << 20, claims=claims))
    said = "its manifest is not of a known form" if claims < 0 else f"more than {LIMIT} bytes"
    assert (done.rc, said in done.err) == (125, True), done


@pytest.mark.parametrize("user", ["\u00b2", "9" * 5000, "4294967296"], ids=["odd", "long", "large"])
def test_a_user_that_is_none_is_an_error_of_ours(
    push: Callable[..., str], pull: Callable[[str, str], Done], alice: User, user: str
) -> None:
    """At the run: another user can be named then."""
    image = push("nobody", config={"User": user})
    done = pull("oci", image)
    assert (done.rc, "warning: the user of" in done.err) == (0, True), done
    done = alice.command("ces-run", "oci", image, "true")
    assert (done.rc, f"its user {user!r:.80} is not" in done.err) == (125, True), done
    assert "Traceback" not in done.err
    assert len(done.err) < 2000


@pytest.mark.parametrize("engine", ["apptainer", "oci"])
def test_a_field_that_no_program_can_be_given_is_an_error_of_ours(
    push: Callable[..., str], pull: Callable[[str, str], Done], engine: str
) -> None:
    done = pull(engine, push("odd-env", config={"Env": ["A=b\0c"]}))
    assert (done.rc, "config.Env is" in done.err, "Traceback" in done.err) == (
        125,
        True,
        False,
    )
    assert len(done.err) < 2000


@pytest.fixture(scope="module")
def shell(alice: User, site: dict[str, Any]) -> str:
    """An image that runs what it is told."""
    registry = site["testbed_registry"]
    login = ["podman", "login", "--username", site["testbed_registry_user"], "--password-stdin"]
    alice.run(shlex.join([*login, registry]), stdin=site["testbed_registry_password"]).ok()
    name = f"{registry}/tre/deep-shell:1.0"
    build = f"podman build --quiet --tag {name} - && podman push --quiet {name}"
    alice.run(build, stdin=f'FROM {alice.image}\nENTRYPOINT ["/bin/sh", "-c"]\nCMD []\n').ok()
    alice.run(f"podman logout {registry}").ok()
    return name


@pytest.mark.parametrize(("engine", "place"), [("apptainer", "/scratch"), ("oci", "/tmp")])
def test_very_deep_directories_that_a_container_makes_are_cleared_away(
    alice: User, pull: Callable[[str, str], Done], shell: str, engine: str, place: str
) -> None:
    pull(engine, shell).ok()
    nest = "i=0; while [ $i -lt 1200 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done"
    alice.command("ces-run", engine, shell, f"cd {place} && {nest}").ok()
    assert alice.left() == {}


@pytest.mark.parametrize("engine", ["podman", "oci"])
def test_last_words_that_no_parser_takes_are_the_containers_own(
    alice: User, pull: Callable[[str, str], Done], shell: str, engine: str
) -> None:
    """They begin as the runtime's own refusal does."""
    pull(engine, shell).ok()
    begin = """printf '{"msg":"exec container process x","a":' >&2"""
    nest = "head -c 60000 /dev/zero | tr '\\0' '[' >&2"
    done = alice.command("ces-run", engine, "--project=proj1", shell, f"{begin}; {nest}; exit 1")
    assert done.rc == 1
    assert "the container exited with 1" in done.err
