# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, tokens and policies are replaced while containers run: docs/administrator.md says how."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import INVENTORY, TOP, User, playbook
from engines import RUNNERS
from remote import Done, Host

BACKEND = TOP / "playbooks/backend.yml"
AUTHORITY = INVENTORY.parent / "registry-ca.pem"
KEYS = "/etc/docker/registry/tls"
POLICY = "/etc/containers/policy.json"


def provision(tags: str, *options: str, **variables: Any) -> Done:
    """A site changes its inventory, and applies the playbook again."""
    words = [f"--tags={tags}", f"--extra-vars={json.dumps(variables)}", *options]
    done = playbook(BACKEND, *words)
    assert done.rc == 0, done.said
    return done


def changed(done: Done) -> dict[str, int]:
    """How much each host was changed, or would be; hosts of which nothing was are left out."""
    found = re.findall(r"^(\S+) +: ok=.* changed=([1-9]\d*) ", done.said, re.MULTILINE)
    return {host: int(count) for host, count in found}


@contextmanager
def running(user: User) -> Iterator[None]:
    """A container that runs meanwhile, and ends as it would have."""
    number = user.start_run(user.image, "-d", "300")
    try:
        yield
        assert user.record(number)["state"] == "RUNNING"
    finally:
        user.command("ces-stop", str(number)).ok()
    assert user.record(number)["state"] == "CANCELLED"


def pull(user: User, site: dict[str, Any], runner: str, image: str = "", token: str = "") -> Done:
    words = ["ces-pull", runner, "--force", "--username", site["testbed_registry_user"]]
    token = token or site["testbed_registry_password"]
    return user.command(*words, "--password-stdin", image or user.image, stdin=token)


@pytest.fixture
def rotated(registry: Host) -> Iterator[Host]:
    yield registry
    provision("registry,podman")


def test_a_registry_gets_another_authority_and_no_pull_fails_meanwhile(
    rotated: Host, backend: Host, alice: User, bob: User, site: dict[str, Any]
) -> None:
    former = AUTHORITY.read_text()
    word = former.splitlines()[-3]
    look = f"grep -rlF -e {shlex.quote(word)} /etc /usr/local /var/lib/tre-ces /root /home"
    assert backend.run("root", look).out
    before = rotated.root(f"sha256sum {KEYS}/*.key").split()[::2]
    predicted = provision("registry", "--check", registry_generation=2)
    assert changed(predicted) == {"registry": 1}
    with running(alice):
        provision("registry", registry_generation=2)
        assert AUTHORITY.read_text() != former
        # the back-end still trusts the former authority alone
        for runner in RUNNERS:
            pull(bob, site, runner).ok()
        again = provision("registry,podman", registry_generation=2)
        assert changed(again) == {"debian13": 1}
        for runner in RUNNERS:
            pull(bob, site, runner).ok()
    after = rotated.root(f"sha256sum {KEYS}/*.key").split()[::2]
    assert len(after) == 2
    assert not set(after) & set(before)
    for host in (backend, rotated):
        assert host.run("root", look).out == "", "the former authority is left"
    last = provision("registry,podman", registry_generation=2)
    assert changed(last) == {}


def test_a_token_is_replaced(rotated: Host, alice: User, bob: User, site: dict[str, Any]) -> None:
    token = "another 'one'"  # noqa: S105 - it is a test's
    name, old = site["testbed_registry_user"], site["testbed_registry_password"]
    login = f"podman login --username {name} --password-stdin {site['testbed_registry']}"
    with running(alice):
        bob.run(login, stdin=old).ok()
        provision("registry", registry_users=[{"name": name, "password": token}])
        # the registry reads the file anew: nothing is restarted
        refused = pull(bob, site, "podman")
        assert refused.rc == 125
        assert "it does not accept the user name and token" in refused.err
        pull(bob, site, "podman", token=token).ok()
        # who has signed in before is told, too, and what is here still runs
        refused = bob.command("ces-pull", "podman", "--force", bob.image)
        assert refused.rc == 125
        assert "it does not accept the user name and token" in refused.err
        bob.run(login, stdin=token).ok()
        bob.command("ces-pull", "podman", "--force", bob.image).ok()
        bob.run(f"podman logout {site['testbed_registry']}").ok()
    assert rotated.root("grep -c . /etc/docker/registry/htpasswd") == "1\n"
    tried = rotated.command(
        "root", "htpasswd", "-v", "-i", "/etc/docker/registry/htpasswd", name, stdin=old
    )
    assert tried.rc == 3, tried.said


@pytest.fixture
def own_policy() -> Iterator[None]:
    yield
    provision("ces_tools", "--limit=ces_backends")


@pytest.mark.usefixtures("own_policy")
def test_a_policy_is_replaced(alice: User, bob: User, backend: Host, site: dict[str, Any]) -> None:
    options = ("--project", "proj1")
    with running(alice):
        stricter = {**site["ces_policy"], "network": {"allowed": ["none"]}}
        provision("ces_tools", "--limit=ces_backends", ces_policy=stricter)
        done = bob.command("ces-run", "podman", *options, "--network", "host", bob.image)
        assert done.rc == 125
        assert "network" in done.err
        bob.command("ces-run", "podman", *options, bob.image).ok()
    assert "host" not in json.dumps(json.loads(backend.root("cat /etc/ces/policy.json"))["network"])


SIGN = """
set -e
mkdir -p {work}; cd {work}; cat >auth.json; echo x >pass
mkdir -p /etc/containers/registries.d
printf 'docker:\\n  {registry}:\\n    use-sigstore-attachments: true\\n' \\
    >/etc/containers/registries.d/site.yaml
echo '{{"default": [{{"type": "insecureAcceptAnything"}}]}}' >any.json
for key in old new; do
    skopeo generate-sigstore-key --output-prefix $key --passphrase-file pass
    install -m 644 $key.pub /etc/containers/site-$key.pub
    skopeo --policy any.json copy --authfile auth.json --sign-passphrase-file pass \\
        --sign-by-sigstore-private-key $key.private docker://{image} docker://{registry}/tre/signed-$key:1.0
done
"""
UNDO = "rm -rf {work} /etc/containers/registries.d/site.yaml /etc/containers/site-*.pub"


@pytest.fixture
def signed(backend: Host, site: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Images that are signed with the old key and with the new one, on a host that demands it."""
    from conftest import AUTH

    registry, before = site["testbed_registry"], backend.root(f"cat {POLICY}")
    words = {"registry": registry, "image": site["testbed_image"], "work": "/root/signing"}
    login = json.dumps({"auths": {registry: {"auth": AUTH}}})
    backend.root(SIGN.format_map(words), stdin=login)
    yield {key: f"{registry}/tre/signed-{key}:1.0" for key in ("old", "new")}
    backend.root(f"cat >{POLICY}", stdin=before)
    backend.root(UNDO.format_map(words))


def demand(backend: Host, registry: str, *keys: str) -> None:
    """The site accepts what one of the keys has signed."""
    accept = [{"type": "insecureAcceptAnything"}]
    by = {
        "type": "sigstoreSigned",
        "keyPaths": [f"/etc/containers/site-{key}.pub" for key in keys],
        "signedIdentity": {"type": "matchRepository"},
    }
    transports = {"containers-storage": {"": accept}, "docker": {f"{registry}/tre": [by]}}
    policy = {"default": [{"type": "reject"}], "transports": transports}
    backend.root(f"cat >{POLICY}", stdin=json.dumps(policy))


def test_keys_of_signatures_are_replaced(
    signed: dict[str, str], backend: Host, alice: User, bob: User, site: dict[str, Any]
) -> None:
    """Only podman and skopeo ask policy.json: apptainer does not."""

    def accepted(*keys: str) -> list[str]:
        demand(backend, site["testbed_registry"], *keys)
        provision("podman", "--limit=ces_backends", podman_policy="keep")
        found = []
        for key, image in signed.items():
            for runner in ("podman", "oci"):
                done = pull(bob, site, runner, image)
                if done.rc == 0:
                    found.append(f"{key} {runner}")
                else:
                    assert done.rc == 125
                    assert "the site does not accept its signature" in done.err, done.said
        return found

    with running(alice):
        assert accepted("old") == ["old podman", "old oci"]
        assert accepted("old", "new") == ["old podman", "old oci", "new podman", "new oci"]
        assert accepted("new") == ["new podman", "new oci"]
        # what is here runs until it is removed
        for runner in ("podman", "oci"):
            bob.command("ces-run", runner, "--project=proj1", signed["old"]).ok()
    for image in signed.values():
        bob.command("ces-rm", image).ok()
