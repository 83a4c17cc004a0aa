# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts that are odd: whom the host lets have no session, and whose numbers are great."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from conftest import TOP, playbook
from remote import Done, Host
from test_ansible import recap

BACKEND = TOP / "playbooks/backend.yml"
PAM, RULES, SHADOW = "/etc/pam.d/common-account", "/etc/security/access.conf", "/etc/shadow"
STORAGE = "/var/lib/tre-ces/containers"
APPTAINER = "/var/lib/tre-ces/apptainer"
PODMAN = "--tags=subid,container_storage,podman"
GREAT = 3_000_000_000
"""A uid as large directories have them; podman takes it for -1294967296."""
ODD = {
    # how an account is made odd, and what is said of it
    "late": ("chage --expiredate 0 late", "the account has expired"),
    "unshadowed": (f"sed -i /^unshadowed:/d {SHADOW}", "it has no password entry"),
    "barred": (
        f"echo '-:barred:ALL' >>{RULES}; echo 'account required pam_access.so' >>{PAM}",
        "a rule of this host keeps the account out",
    ),
    "changing": ("chage --lastday 0 changing", "its password must be changed first"),
}

Provision = Callable[..., Done]


@pytest.fixture
def provision() -> Provision:
    """``provision([USER, ...], OPTION, ...)``: for these users, and with these options."""

    def run(users: list[str], *options: str) -> Done:
        given = f"--extra-vars={json.dumps({'ces_users': users})}"
        return playbook(BACKEND, "--limit=ces_backends", given, *options)

    return run


Make = Callable[..., None]


@pytest.fixture(scope="module")
def site_users() -> Iterator[None]:
    """Afterwards the host is provisioned for the site's own users, as before."""
    yield
    assert playbook(BACKEND, "--limit=ces_backends").rc == 0


@pytest.fixture
def make(backend: Host, site_users: None) -> Iterator[Make]:
    """``make(NAME, UID, OPTION, ...)``: an account, of which nothing is left afterwards."""
    made: dict[str, int] = {}
    backend.root(f"cp -p {PAM} /root/pam; cp -p {RULES} /root/access.conf")

    def add(name: str, uid: int, *options: str) -> None:
        made[name] = uid
        words = " ".join(options or ["--create-home"])
        backend.root(f"useradd --uid {uid} --shell /bin/bash {words} {name}")

    yield add
    backend.root(f"mv /root/pam {PAM}; mv /root/access.conf {RULES}; pwconv")
    for name, uid in made.items():
        backend.root(f"loginctl disable-linger {uid}; systemctl unmask user@{uid}; true")
        backend.root(f"loginctl terminate-user {uid}; pkill -KILL -U {uid}; true")
        backend.root(f"userdel --force --remove {name}; true")
        backend.root(f"rm -rf {STORAGE}/{uid} {STORAGE}/{uid - 2**32} {APPTAINER}/{uid}")
        backend.root(f"sed -i '/^{name}:/d' /etc/subuid /etc/subgid")


def test_an_account_that_can_have_no_session_is_left_out_and_the_others_are_served(
    backend: Host, make: Make, provision: Provision
) -> None:
    for uid, (name, (spoil, _said)) in enumerate(ODD.items(), 2101):
        make(name, uid)
        backend.root(spoil)
    make("fresh", 2110)
    names = [*ODD, "fresh", "alice"]
    strict = provision(names, "--extra-vars=ces_users_strict=true")
    assert strict.rc != 0
    assert recap(strict.said)["changed"] == 0, strict.said
    backend.root("rm /usr/local/bin/ces-run")
    done = provision(names)
    assert done.rc == 0, done.said
    for name, (_spoil, said) in ODD.items():
        told = " ".join(line for line in done.said.split("WARNING:") if f" {name} is" in line)
        assert said in " ".join(told.split()), done.said
        assert said in " ".join(strict.said.split()), strict.said
    assert "ran it as fresh" in " ".join(done.said.split()), done.said
    backend.root("test -x /usr/local/bin/ces-run; test -S /run/user/2110/bus")
    again = provision(names)
    assert recap(again.said)["changed"] == 0, again.said


def test_a_session_that_does_not_start_keeps_nobody_else_from_theirs(
    backend: Host, make: Make, provision: Provision
) -> None:
    """Of which nothing is known before it is tried."""
    make("masked", 2102)
    make("fresh", 2110)
    backend.root("systemctl mask user@2102.service")
    done = provision(["masked", "fresh", "alice"], PODMAN)
    assert done.rc == 0, done.said
    assert "no session could be started for masked" in done.said
    assert "journalctl -u user@2102.service" in done.said
    backend.root("test -S /run/user/2110/bus")


def test_a_home_that_the_first_login_makes_and_a_shell_that_lets_nobody_in(
    backend: Host, make: Make, provision: Provision
) -> None:
    """Both have sessions; a container is run as who has a home."""
    make("homeless", 2104, "--no-create-home")
    make("shellless", 2105)
    backend.root("usermod --shell /usr/sbin/nologin shellless")
    done = provision(["homeless", "shellless", "alice"], PODMAN)
    assert done.rc == 0, done.said
    assert "homeless has no home directory yet" in " ".join(done.said.split())
    assert "shellless: limits" in done.said or "ran as shellless" in done.said
    backend.root("test -S /run/user/2104/bus; test -S /run/user/2105/bus")
    again = provision(["homeless", "shellless", "alice"], PODMAN)
    assert recap(again.said)["changed"] == 0, again.said


def test_a_uid_that_podman_takes_for_a_negative_one(
    backend: Host, make: Make, provision: Provision
) -> None:
    make("great", GREAT)
    done = provision(["great", "alice"], PODMAN)
    assert done.rc == 0, done.said
    assert "great: limits" in done.said or "ran as great" in done.said
    root = backend.root(
        f"cd /; runuser -u great -- env XDG_RUNTIME_DIR=/run/user/{GREAT} HOME=/home/great"
        " podman info --format '{{.Store.GraphRoot}}'"
    )
    assert root.strip() == f"{STORAGE}/{GREAT}/storage"
    backend.root(f"rm {STORAGE}/{GREAT - 2**32}")
    doctor = backend.run("root", "ces-doctor --user great").said
    assert f"{STORAGE}/{GREAT - 2**32}/storage" in doctor, doctor
