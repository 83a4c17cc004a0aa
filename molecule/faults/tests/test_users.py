# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts that are odd, users who leave, and uids that are used again."""

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
        for root in (STORAGE, APPTAINER):
            backend.root(f"rm -rf {root}/{uid} {root}/owners/{uid} {root}/{uid - 2**32}")
        backend.root(f"rm -rf /home/{name}")
        backend.root(f"sed -i '/^#*{name}:/d' /etc/subuid /etc/subgid")
    # else the next account's ids were somebody's
    backend.root(f"rm -f {STORAGE}/subordinate-ids.json")


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
    assert "podman takes for a negative number" in " ".join(done.said.split())
    assert backend.run("root", f"test -e /run/user/{GREAT}").rc != 0
    again = provision(["great", "alice"], PODMAN)
    assert recap(again.said)["changed"] == 0, again.said


def as_user(backend: Host, name: str, uid: int, line: str) -> Done:
    bus = f"DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus"
    session = f"HOME=/home/{name} XDG_RUNTIME_DIR=/run/user/{uid} {bus}"
    return backend.run("root", f"cd /; runuser -u {name} -- env {session} {line}")


LEAVER, NEXT = "old.name", "new.name"
UID = 2120


@pytest.fixture
def left(backend: Host, make: Make, provision: Provision) -> None:
    """A user with a volume has left, and another one has the uid, and by useradd the same ids."""
    make(LEAVER, UID)
    done = provision([LEAVER, "alice"], PODMAN)
    assert done.rc == 0, done.said
    as_user(backend, LEAVER, UID, "podman volume create patient-data").ok()
    backend.root(f"systemctl stop user@{UID}; pkill -KILL -U {UID}; userdel --force {LEAVER}; true")
    make(NEXT, UID)


def volumes(backend: Host) -> list[str]:
    return as_user(backend, NEXT, UID, "podman volume ls --quiet").ok().out.split()


def test_a_uid_that_was_anothers_is_refused_until_somebody_decides(
    backend: Host, left: None, provision: Provision
) -> None:
    done = provision([NEXT, "alice"], PODMAN)
    assert done.rc != 0
    assert recap(done.said)["changed"] == 0, done.said
    assert f"{NEXT} has the uid {UID}, which was {LEAVER}'s" in " ".join(done.said.split())
    backend.root(f"loginctl enable-linger {UID}; systemctl start user@{UID}")
    run = as_user(backend, NEXT, UID, "ces-images")
    assert (run.rc, f"was made for {LEAVER}" in run.said) == (125, True), run.said
    assert "fault (made_for)" in as_user(backend, NEXT, UID, "ces-doctor").said


def range_of(backend: Host, name: str) -> str:
    """A user's line of /etc/subuid without the name."""
    return backend.root(f"sed -n 's/^{name}://p' /etc/subuid").strip()


def test_ids_that_useradd_handed_on_are_refused_until_somebody_decides(
    backend: Host, make: Make, provision: Provision
) -> None:
    """The one who has them now has another uid, and nothing of the other's storage."""
    make(LEAVER, UID)
    done = provision([LEAVER, "alice"], PODMAN)
    assert done.rc == 0, done.said
    ids = range_of(backend, LEAVER)
    backend.root(f"systemctl stop user@{UID}; pkill -KILL -U {UID}; userdel --force {LEAVER}; true")
    make(NEXT, UID + 1)
    assert range_of(backend, NEXT) == ids, "useradd takes the first free range"
    done = provision([NEXT, "alice"], PODMAN)
    assert done.rc != 0
    assert recap(done.said)["changed"] == 0, done.said
    said = " ".join(done.said.split())
    assert f"{NEXT} has the subordinate ids" in said and f"which were {LEAVER}'s" in said
    assert "ces_reused_uids" in said or "container_storage_reused_uids" in said
    done = provision([NEXT, "alice"], PODMAN, "--extra-vars=ces_reused_uids=keep_apart")
    assert done.rc == 0, done.said
    assert range_of(backend, NEXT) not in ("", ids)
    assert range_of(backend, f"#{LEAVER}") == ids
    assert as_user(backend, NEXT, UID + 1, "podman unshare true").rc == 0
    again = provision([NEXT, "alice"], PODMAN)
    assert (again.rc, recap(again.said)["changed"]) == (0, 0), again.said


@pytest.mark.parametrize("becomes", ["keep_apart", "remove", "give"])
def test_what_becomes_of_it(backend: Host, left: None, provision: Provision, becomes: str) -> None:
    variable = f"--extra-vars=ces_reused_uids={becomes}"
    if becomes == "remove":
        foreseen = provision([NEXT, "alice"], PODMAN, variable, "--check")
        assert foreseen.rc == 0, foreseen.said
        backend.root(f"test -d {STORAGE}/{UID}/storage")
    done = provision([NEXT, "alice"], PODMAN, variable)
    assert done.rc == 0, done.said
    assert volumes(backend) == (["patient-data"] if becomes == "give" else [])
    assert as_user(backend, NEXT, UID, "ces-images").rc == 0
    assert (range_of(backend, f"#{LEAVER}") == "") is (becomes == "give")
    kept = f"{STORAGE}/kept/{LEAVER}-{UID}"
    assert (backend.run("root", f"test -d {kept}").rc == 0) is (becomes == "keep_apart")
    backend.root(f"rm -rf {STORAGE}/kept")
    if becomes == "keep_apart":
        again = provision([NEXT, "alice"], PODMAN)
        assert recap(again.said)["changed"] == 0, again.said


@pytest.mark.parametrize("account", [True, False])
def test_of_a_user_who_left_nothing_runs_and_nothing_is_kept_that_was_not_to_be(
    backend: Host, make: Make, provision: Provision, account: bool
) -> None:
    make(LEAVER, UID)
    done = provision([LEAVER, "alice"], PODMAN)
    assert done.rc == 0, done.said
    as_user(backend, LEAVER, UID, "podman volume create patient-data").ok()
    if not account:
        backend.root(f"userdel --force {LEAVER}; true")
    given = {"ces_users_absent": [LEAVER], "ces_absent_stores": "remove"}
    leaving = f"--extra-vars={json.dumps(given)}"
    foreseen = provision(["alice"], PODMAN, leaving, "--check")
    assert foreseen.rc == 0, foreseen.said
    backend.root(f"test -d {STORAGE}/{UID}/storage; pgrep -U {UID}")
    done = provision(["alice"], PODMAN, leaving)
    assert done.rc == 0, done.said
    gone = (f"{STORAGE}/{UID}", f"{STORAGE}/owners/{UID}", f"/var/lib/systemd/linger/{LEAVER}")
    for path in gone:
        assert backend.run("root", f"ls -d {path}").rc != 0, path
    assert backend.run("root", f"pgrep -U {UID}").rc == 1
    assert LEAVER not in backend.root("cat /etc/subuid /etc/subgid")
    assert (backend.run("root", f"test -d /home/{LEAVER}").rc == 0) is True
    again = provision(["alice"], PODMAN, leaving)
    assert recap(again.said)["changed"] == 0, again.said
