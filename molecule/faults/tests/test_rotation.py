# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, tokens and policies are replaced while containers run: docs/administrator.md says how."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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


CERTIFY = """
set -e
cd {place}
new_key() {{
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key "${{@:2}}"
}}
for name in old new; do
    new_key $name -x509 -days 2 -subj "/CN=Authority $name" -out $name.pem \\
        -addext keyUsage=critical,keyCertSign
    new_key by-$name -subj /CN=registry -out by-$name.csr
    openssl x509 -req -in by-$name.csr -CA $name.pem -CAkey $name.key -days 2 \\
        -extfile <(echo subjectAltName=DNS:{host}) -out by-$name.pem
done
"""


def test_a_sites_own_authority_gets_a_successor_and_no_pull_fails_meanwhile(
    rotated: Host, backend: Host, alice: User, bob: User, site: dict[str, Any], tmp_path: Path
) -> None:
    """First back-ends trust both, then the registry gets its certificate, then the old one goes."""
    registry = site["testbed_registry"]
    script = CERTIFY.format(place=tmp_path, host=registry.partition(":")[0])
    subprocess.run(["/bin/bash", "-c", script], check=True, capture_output=True)
    prefixes = {"old": f"{registry}/tre", "new": f"{registry}/not-there-yet"}

    def certified(name: str) -> dict[str, Any]:
        words = {"certificate": f"by-{name}.pem", "certificate_key": f"by-{name}.key"}
        words["authority"] = f"{name}.pem"
        return {f"registry_{word}": f"{tmp_path}/{file}" for word, file in words.items()}

    def trusting(**authorities: str) -> dict[str, Any]:
        entries = [
            {"prefix": prefix, "ca": f"{tmp_path}/{name}.pem"}
            for name, prefix in authorities.items()
        ]
        return {"ces_registries_allowed": entries}

    def all_pull() -> None:
        for runner in RUNNERS:
            pull(bob, site, runner).ok()

    provision("registry,podman", **certified("old"), **trusting(old=prefixes["old"]))
    with running(alice):
        provision("podman", **trusting(**prefixes))
        all_pull()
        provision("registry", **certified("new"))
        all_pull()
        last = {**certified("new"), **trusting(new=prefixes["old"])}
        provision("registry,podman", **last)
        all_pull()
    trusted = backend.root(f"cat /etc/containers/certs.d/{registry}/ca.crt")
    assert trusted.strip() == (tmp_path / "new.pem").read_text().strip()
    assert changed(provision("registry,podman", **last)) == {}


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
mkdir -p -m 700 {work}; cd {work}; cat >auth.json
mkdir -p /etc/containers/registries.d
echo '{{"default": [{{"type": "insecureAcceptAnything"}}]}}' >any.json
sign() {{
    skopeo --policy any.json copy --authfile auth.json "${{@:2}}" \\
        docker://{image} docker://{registry}/tre/signed-$1:1.0
}}
"""
BY_SIGSTORE = """
printf 'docker:\\n  {registry}:\\n    use-sigstore-attachments: true\\n' \\
    >/etc/containers/registries.d/site.yaml
echo x >pass
for key in old new; do
    skopeo generate-sigstore-key --output-prefix $key --passphrase-file pass
    install -m 644 $key.pub /etc/containers/site-$key.pub
    sign $key --sign-passphrase-file pass --sign-by-sigstore-private-key $key.private
done
"""
BY_GPG = """
apt-get -qq install --no-install-recommends gpg gpg-agent >/dev/null
mkdir -p /srv/signatures
printf 'docker:\\n  {registry}:\\n    %s: file:///srv/signatures\\n    %s: file:///%s\\n' \\
    lookaside lookaside-staging srv/signatures >/etc/containers/registries.d/site.yaml
export GNUPGHOME=$PWD
for key in old new; do
    gpg --batch --quiet --passphrase '' --quick-generate-key $key@site.test default default 2d
    gpg --export $key@site.test >/etc/containers/site-$key.pub
    sign $key --sign-by $key@site.test
done
cat /etc/containers/site-{{old,new}}.pub >/etc/containers/site-old-new.pub
gpgconf --kill all
"""
UNDO = "rm -rf {work} /srv/signatures /etc/containers/re*.d/site.yaml /etc/containers/site-*.pub"


def _by_sigstore(*keys: str) -> dict[str, Any]:
    paths = [f"/etc/containers/site-{key}.pub" for key in keys]
    return {"type": "sigstoreSigned", "keyPaths": paths}


def _by_gpg(*keys: str) -> dict[str, Any]:
    """One file has the keys: older versions of podman know no list of files."""
    path = f"/etc/containers/site-{'-'.join(keys)}.pub"
    return {"type": "signedBy", "keyType": "GPGKeys", "keyPath": path}


KINDS = {"sigstore": (BY_SIGSTORE, _by_sigstore), "gpg": (BY_GPG, _by_gpg)}


@pytest.fixture
def signed(kind: str, backend: Host, site: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Images that are signed with the old key and with the new one, on a host that demands it."""
    from conftest import AUTH

    registry, before = site["testbed_registry"], backend.root(f"cat {POLICY}")
    words = {"registry": registry, "image": site["testbed_image"], "work": "/root/signing"}
    login = json.dumps({"auths": {registry: {"auth": AUTH}}})
    backend.root((SIGN + KINDS[kind][0]).format_map(words), stdin=login)
    yield {key: f"{registry}/tre/signed-{key}:1.0" for key in ("old", "new")}
    backend.root(f"cat >{POLICY}", stdin=before)
    backend.root(UNDO.format_map(words))


def demand(backend: Host, registry: str, by: dict[str, Any]) -> None:
    """The site accepts what one of the keys has signed."""
    accept = [{"type": "insecureAcceptAnything"}]
    by = {**by, "signedIdentity": {"type": "matchRepository"}}
    transports = {"containers-storage": {"": accept}, "docker": {f"{registry}/tre": [by]}}
    policy = {"default": [{"type": "reject"}], "transports": transports}
    backend.root(f"cat >{POLICY}", stdin=json.dumps(policy))


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_signatures_are_replaced(
    kind: str,
    signed: dict[str, str],
    backend: Host,
    alice: User,
    bob: User,
    site: dict[str, Any],
) -> None:
    """Only podman and skopeo ask policy.json: apptainer does not."""

    def accepted(*keys: str) -> list[str]:
        demand(backend, site["testbed_registry"], KINDS[kind][1](*keys))
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
