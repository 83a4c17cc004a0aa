# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry that means no good, or is set up as few are; logins in all forms that podman reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import AUTH, SITE, User, down
from engines import RUNNERS
from remote import Host, answer_of, wait_until

TLS = "/etc/docker/registry/tls"
USER, PASSWORD = SITE["testbed_registry_user"], SITE["testbed_registry_password"]
REGISTRY = SITE["testbed_registry"]
IMAGE = f"{REGISTRY}/tre/odd:1.0"
MANIFEST = "/v2/tre/odd/manifests/1.0"
GONE = {"status": 404}


class Odd:
    """The registry's stand-in, and the questions that it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []


@contextmanager
def odd(registry: Host, *answers: dict[str, Any], place: str = TLS) -> Iterator[Odd]:
    """While in the block something else stands where the registry stands."""
    found = Odd()
    with down(registry):
        names = {"cert": f"{place}/registry.crt", "key": f"{place}/registry.key"}
        server = registry.begin("root", "odd_registry", **names, answers=answers)
        try:
            yield found
        finally:
            found.asked = [tuple(question) for question in answer_of(server)]


def challenge(realm: str) -> dict[str, Any]:
    return {"status": 401, "headers": [["WWW-Authenticate", f'Bearer realm="{realm}"']]}


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_login_goes_to_no_host_that_a_registry_names(
    alice: User, registry: Host, runner: str
) -> None:
    words = ["ces-pull", runner, "--username", USER, "--password-stdin", IMAGE]
    with odd(registry, challenge("https://collector.test:5000/token")) as server:
        done = alice.command(*words, stdin=PASSWORD)
    assert done.rc == 125
    assert (
        "it sends those who sign in to collector.test:5000, which is not its own host" in done.err
    )
    assert "sign_in" in done.err
    assert [headers["User-Agent"] for _method, _path, headers in server.asked] == ["tre.ces"]


@pytest.mark.parametrize(
    "answer",
    [
        {"bytes": "HTTP/1.1 200 OK\r\nX-Slow: ", "again": "a"},
        {"bytes": "", "again": "HTTP/1.1 100 Continue\r\n\r\n"},
    ],
    ids=["a byte at a time", "continue for ever"],
)
@pytest.mark.parametrize(("name", "status"), [("INT", 130), ("TERM", 143)])
def test_a_pull_that_a_registry_holds_up_hears_signals(
    alice: User, registry: Host, answer: dict[str, str], name: str, status: int
) -> None:
    with odd(registry, answer):
        pull = alice.host.start(alice.name, f"echo $$; exec ces-pull podman {IMAGE}")
        assert pull.stdout
        pid = int(pull.stdout.readline())
        asking = f"ss -Htnp state established dport = :5000 | grep -q pid={pid},"
        wait_until(lambda: alice.host.run("root", asking).rc == 0, "the question to be asked")
        alice.run(f"kill -{name} {pid}").ok()
        _out, err = pull.communicate(timeout=30)
    assert pull.returncode == status, err
    assert f"stopped by SIG{name}" in err


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([challenge("https://registry.tre.test:port/token")], "is no address of https"),
        ([challenge("http://registry.tre.test/token")], "is no address of https"),
        ([challenge(f"https://{REGISTRY}/t"), {"status": 200, "body": "[" * 200_000}], "no JSON"),
        ([{"bytes": "HTTP/1.1 \x1b[31mred\x9b\r\n\r\n"}], r"\x1b[31mred"),
    ],
)
def test_nonsense_of_a_registry_is_an_error_of_ours_and_commands_no_terminal(
    alice: User, registry: Host, answers: list[dict[str, Any]], said: str
) -> None:
    with odd(registry, *answers):
        done = alice.command("ces-run", "podman", "--pull", "always", IMAGE)
    assert done.rc == 125
    assert said in done.err
    assert "Traceback" not in done.said
    assert done.said.replace("\n", "").isprintable()


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_a_registry_says_to_an_engine_commands_no_terminal(
    alice: User, registry: Host, runner: str
) -> None:
    digest = {"status": 200, "headers": [["Docker-Content-Digest", f"sha256:{'1' * 64}"]]}
    denial = {"code": "DENIED", "message": "no \x1b[31mred \x9b1m \u202e"}
    refusal = {"status": 403, "body": json.dumps({"errors": [denial]})}
    with odd(registry, digest, refusal) as server:
        done = alice.command("ces-pull", runner, IMAGE)
    assert len(server.asked) > 1
    assert done.rc == 125
    assert r"\x1b[31mred" in done.err
    assert "\x1b" not in done.said and "\x9b" not in done.said


def test_any_number_of_ways_to_sign_in_is_read_at_once(alice: User, registry: Host) -> None:
    parameters = ["Bearer " + ",".join(f"{kind}{n}=" for n in range(7000)) for kind in "abcdefgh"]
    headers = [["WWW-Authenticate", text] for text in parameters * 10]
    with odd(registry, {"status": 401, "headers": headers}):
        done = alice.command("ces-pull", "podman", IMAGE, timeout=30)
    assert done.rc == 125
    assert "is no address of https" in done.err


def test_who_asks_too_often_waits_and_asks_again(alice: User, registry: Host) -> None:
    busy = {"status": 429, "headers": [["Retry-After", "1"]]}
    with odd(registry, busy, busy, GONE) as server:
        done = alice.command("ces-pull", "podman", IMAGE)
    assert len(server.asked) == 3
    assert f"{REGISTRY} is asked too often: asking again in 1 s" in done.err
    assert "the registry has no such image or tag" in done.err


def test_an_image_is_looked_for_where_and_as_the_registry_wants(
    alice: User, registry: Host
) -> None:
    """As podman does: at another place; by a question for the whole, which all registries know."""
    moved = {"status": 307, "headers": [["Location", "/elsewhere"]]}
    with odd(registry, moved, {"status": 405}, GONE) as server:
        done = alice.command("ces-pull", "podman", IMAGE)
    asked = [(method, path) for method, path, _headers in server.asked]
    assert asked == [("HEAD", MANIFEST), ("HEAD", "/elsewhere"), ("GET", MANIFEST)]
    assert "the registry has no such image or tag" in done.err


def test_an_authority_as_openssl_makes_it_is_trusted(
    alice: User, registry: Host, backend: Host
) -> None:
    """Python 3.13 asks for more than engines do: here it is Python 3.13."""
    assert (
        backend.run("root", "python3 -c 'import sys; assert sys.version_info >= (3, 13)'").rc == 0
    )
    place = "/root/odd-authority"
    host = REGISTRY.partition(":")[0]
    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    registry.root(
        f"mkdir -p {place} && cd {place} && echo subjectAltName=DNS:{host} > names"
        f" && openssl req -x509 {key} -days 2 -subj /CN=Authority -keyout ca.key -out ca.crt"
        # a configuration of Debian's has no keyUsage, and neither has this
        f" && ! openssl x509 -in ca.crt -noout -text | grep -q 'Key Usage'"
        f" && openssl req {key} -subj /CN={host} -keyout registry.key -out registry.csr"
        " && openssl x509 -req -in registry.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2"
        " -extfile names -out registry.crt"
    )
    trusted = f"/etc/containers/certs.d/{REGISTRY}/odd.crt"
    try:
        backend.root(f"cat > {trusted}", stdin=registry.root(f"cat {place}/ca.crt"))
        with odd(registry, GONE, place=place):
            done = alice.command("ces-pull", "podman", IMAGE)
    finally:
        backend.root(f"rm -f {trusted}")
    assert "the registry has no such image or tag" in done.err


# --- logins as podman reads them: it pulls, so it finds the same one ---

HELPER = f"""#!/bin/sh
read registry
test "$1 $registry" = "get {REGISTRY}" || exit 1
cat ~/helper.json
"""
FORMS = {
    "image": {"auths": {f"{REGISTRY}/tre/hello-tre": {"auth": AUTH}}},
    "address": {"auths": {f"https://{REGISTRY}/v1/": {"auth": AUTH}}},
    "helper": {"credHelpers": {REGISTRY: "test"}},
    "other login": {"auths": {REGISTRY: {"auth": AUTH}}, "credsStore": "desktop"},
}


@pytest.fixture
def filed(users: dict[str, User]) -> Iterator[User]:
    """Somebody with a credential helper, and room for auth files."""
    user = users["bob"]
    user.command(
        "tee", "helper.json", stdin=json.dumps({"Username": USER, "Secret": PASSWORD})
    ).ok()
    user.run("mkdir -p bin docker && cat > bin/docker-credential-test", stdin=HELPER).ok()
    user.run("chmod +x bin/docker-credential-test").ok()
    yield user
    user.run("rm -rf bin docker helper.json .dockercfg").ok()


@pytest.mark.parametrize("form", FORMS)
def test_a_login_is_found_in_every_form_that_podman_reads(filed: User, form: str) -> None:
    filed.command("tee", "docker/config.json", stdin=json.dumps(FORMS[form])).ok()
    line = f"DOCKER_CONFIG=~/docker PATH=~/bin:$PATH ces-pull RUNNER --force {filed.image}"
    for runner in ("podman", "oci", "apptainer"):
        done = filed.run(line.replace("RUNNER", runner))
        assert done.rc == 0, (runner, done.said)
        assert PASSWORD not in done.said


def test_a_helper_that_registries_conf_lists_is_asked_as_podman_asks_it(filed: User) -> None:
    place = ".config/containers/registries.conf.d"
    text = 'credential-helpers = ["test", "containers-auth.json"]'
    filed.run(f"mkdir -p {place} && cat > {place}/helper.conf", stdin=text).ok()
    try:
        for runner in ("podman", "oci"):
            line = f"PATH=~/bin:$PATH ces-pull {runner} --force {filed.image}"
            filed.run(line).ok()
    finally:
        filed.run(f"rm -r {place}").ok()


def test_dockers_first_file_serves_podman_too(filed: User) -> None:
    text = json.dumps({f"https://{REGISTRY}/v1/": {"auth": AUTH}})
    filed.command("tee", ".dockercfg", stdin=text).ok()
    assert filed.command("ces-pull", "podman", "--force", filed.image).ok()


def test_what_podman_does_not_use_is_named(filed: User) -> None:
    filed.command("tee", "docker/config.json", stdin=json.dumps({"credsStore": "desktop"})).ok()
    done = filed.run(f"DOCKER_CONFIG=~/docker ces-pull podman {REGISTRY}/tre/other:1.0")
    assert done.rc == 125
    assert "docker/config.json has the credsStore desktop, which podman does not use" in done.err
