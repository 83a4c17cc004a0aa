# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end as its users reach it: over ssh, as themselves; a registry as its keeper does."""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from remote import Done, Host, Person, logged_in, wait_until

INVENTORY = Path(os.environ["TESTBED_INVENTORY"])
TOP = Path(__file__).resolve().parents[3]
SITE_FILE = Path(os.environ["TESTBED_SITE"])


class User(Person):
    """Somebody who runs containers on a back-end."""

    def shell_in_container(
        self, script: str, *options: str, timeout: float = 60, json: bool = False
    ) -> Done:
        """``ces-run`` with a line of shell instead of the image's own program."""
        words = ["ces-run", "podman", *(["--json"] if json else []), *options]
        words += ["--opt-file", "/dev/stdin", self.image, "-c", script]
        return self.command(*words, stdin="--entrypoint=/bin/sh\n", timeout=timeout)

    def start_run(self, *words: str) -> int:
        """Start a long run in the background; its number, when its container runs."""
        last = self.last_number()
        line = shlex.join(["ces-run", "podman", *words])
        self.run(f"setsid {line} >/dev/null 2>&1 </dev/null &").ok()
        number = last + 1
        wait_until(lambda: self.containers() != [], f"run {number} of {self.name} to start")
        return number

    def last_number(self) -> int:
        there = self.run("ls ~/.local/state/ces/runs").out.split()
        return max(map(int, there), default=0)

    def record(self, number: int) -> dict[str, Any]:
        path = f"{self.home}/.local/state/ces/runs/{number}/run.json"
        return dict(json.loads(self.host.root(f"cat {path}")))

    def containers(self) -> list[str]:
        return self.run("podman ps -aq").ok().out.split()

    def left(self) -> dict[str, str]:
        """What runs and pulls may leave behind; all empty when they left nothing."""
        runtime = f"/run/user/{self.uid}/ces"
        looks = {
            "containers": "podman ps -aq",
            "scratch": "ls -d ~/scratch-* 2>/dev/null",
            "secrets": f"ls -d {runtime}/run-* {runtime}/auth-* 2>/dev/null",
            "dead runs": "ls ~/.local/state/ces/active 2>/dev/null",
            "reserves": "ls ~/.local/state/ces/runs/*/reserve 2>/dev/null",
            "temporary files": "find ~/.local/state/ces /run/user/$(id -u)/ces -name '*.tmp'",
            "processes": "pgrep -l -u $(id -u) 'conmon|crun|ces-'"
            "; pgrep -a -u $(id -u) -x podman | grep -Ev 'podman (pause|system)' ",
        }
        script = "; ".join(f"echo '== {name}'; {look}" for name, look in looks.items())
        found: dict[str, str] = {}
        name = ""
        for line in self.run(script + "; true").ok().out.splitlines():
            if line.startswith("== "):
                name = line[3:]
            else:
                found[name] = f"{found.get(name, '')}{line}\n"
        return found

    def pull(self, image: str | None = None, password: str | None = None) -> Done:
        site = SITE
        words = ["ces-pull", "podman", "--username", site["testbed_registry_user"]]
        password = site["testbed_registry_password"] if password is None else password
        return self.command(*words, "--password-stdin", image or self.image, stdin=password)


def _site() -> dict[str, Any]:
    files = (INVENTORY / "group_vars/all.yml", SITE_FILE)
    merged: dict[str, Any] = {}
    for path in files:
        merged.update(yaml.safe_load(path.read_text()))
    return merged


SITE = _site()
LOGIN = "{testbed_registry_user}:{testbed_registry_password}".format_map(SITE)
AUTH = base64.b64encode(LOGIN.encode()).decode()
"""The login to the registry, as a header and an auth file have it."""


@pytest.fixture(scope="session")
def site() -> dict[str, Any]:
    """Variables of the test bed, and of this scenario."""
    return SITE


@pytest.fixture(scope="session")
def hosts() -> Iterator[dict[str, Host]]:
    with logged_in(INVENTORY, Path(__file__).with_name("on_host")) as found:
        yield found


@pytest.fixture(scope="session")
def backend(hosts: dict[str, Host]) -> Host:
    return hosts["debian13"]


@pytest.fixture(scope="session")
def registry(hosts: dict[str, Host]) -> Host:
    return hosts["registry"]


@pytest.fixture(scope="session")
def users(backend: Host, site: dict[str, Any]) -> dict[str, User]:
    return {
        person["name"]: User(backend, person["name"], person["uid"], site["testbed_image"])
        for person in site["testbed_people"]
    }


@pytest.fixture(scope="session")
def alice(users: dict[str, User]) -> User:
    """A researcher of one project, who has the image."""
    users["alice"].pull().ok()
    return users["alice"]


@pytest.fixture(scope="session")
def bob(users: dict[str, User]) -> User:
    """A researcher of two projects, who has the image."""
    users["bob"].pull().ok()
    return users["bob"]


@pytest.fixture(scope="session")
def carol(users: dict[str, User]) -> User:
    """A researcher of no project, who has the image."""
    users["carol"].pull().ok()
    return users["carol"]


@pytest.fixture(scope="module")
def signed_in(alice: User, site: dict[str, Any]) -> Iterator[User]:
    """Alice, who has signed in to the registry."""
    at = site["testbed_registry"]
    login = f"podman login --username {site['testbed_registry_user']} --password-stdin {at}"
    alice.run(login, stdin=site["testbed_registry_password"]).ok()
    yield alice
    alice.run(f"podman logout {at}").ok()


@contextmanager
def down(registry: Host) -> Iterator[None]:
    registry.root("systemctl stop docker-registry")
    try:
        yield
    finally:
        start(registry)


def start(registry: Host) -> None:
    registry.root("systemctl start docker-registry")
    probe = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 5000))'"
    wait_until(lambda: registry.run("root", probe).rc == 0, "the registry")


IntoRegistry = Callable[..., Any]


@pytest.fixture(scope="session")
def into_registry(registry: Host, site: dict[str, Any]) -> IntoRegistry:
    """Put something into the registry, by one of on_host's programs: ``push_layer``, say."""

    def run(program: str, **arguments: Any) -> Any:
        return registry.ask(
            "root",
            program,
            registry=site["testbed_registry"],
            ca="/etc/docker/registry/tls/ca.crt",
            authorization=f"Basic {AUTH}",
            **arguments,
        )

    return run


Push = Callable[[Sequence[dict[str, Any]]], dict[str, str]]


@pytest.fixture(scope="session")
def push_images(into_registry: IntoRegistry, site: dict[str, Any]) -> Push:
    """Put images into the registry as builders of all sorts make them; answers their digests.

    on_host/push_images.py says what can be asked for.
    """
    base = site["testbed_image"].partition("/")[2]

    def run(images: Sequence[dict[str, Any]]) -> dict[str, str]:
        answered = into_registry("push_images", base=base, images=images)
        return {f"{site['testbed_registry']}/{name}": digest for name, digest in answered.items()}

    return run


JOB = 4711
"""Of Slurm, which the back-end does not have: its programs are called as Slurm does."""
_PROGRAMS = "/root/of-slurm"
Slurms = Callable[[str, int], float]


@pytest.fixture(scope="module")
def slurms(backend: Host) -> Iterator[Slurms]:
    """Run the prolog or the epilog of the role slurm_oci for a user; the seconds it took."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(TOP / "roles/slurm_oci/files", ".")
    backend.root(
        f"mkdir {_PROGRAMS}; base64 -d | tar -C {_PROGRAMS} -xz",
        base64.b64encode(packed.getvalue()).decode(),
    )

    def run(program: str, uid: int) -> float:
        names = {"ID": JOB, "UID": uid, "GID": uid}
        words = " ".join(f"SLURM_JOB_{name}={value}" for name, value in names.items())
        begin = time.monotonic()
        backend.root(f"{words} SLURMD_NODENAME=node timeout 60 {_PROGRAMS}/{program} </dev/null")
        return time.monotonic() - begin

    yield run
    backend.root(f"rm -r {_PROGRAMS}; rmdir --ignore-fail-on-non-empty /run/tre-ces-slurm")


Play = Callable[..., Done]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run tasks on the back-end as a user becomes: ``play("alice", tasks, "--check")``."""

    def run(user: str, tasks: Sequence[dict[str, Any]], *options: str, **variables: Any) -> Done:
        play = {
            "hosts": "ces_backends",
            "gather_facts": False,
            "become": True,
            "become_user": user,
            "tasks": list(tasks),
        }
        file = tmp_path / f"{user}.yml"
        file.write_text(yaml.safe_dump([play], sort_keys=False))
        secrets = tmp_path / "variables.yml"
        secrets.write_text(yaml.safe_dump(variables))
        return playbook(file, *options, f"--extra-vars=@{secrets}")

    return run


def playbook(path: Path, *options: str, timeout: float = 300, started_in: Path = TOP) -> Done:
    done = subprocess.run(
        ansible_playbook(path, *options),
        capture_output=True,
        text=True,
        cwd=started_in,
        env=ANSIBLE_ENVIRONMENT,
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def ansible_playbook(path: Path, *options: str) -> list[str]:
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    return [program, f"--inventory={INVENTORY}", f"--extra-vars=@{SITE_FILE}", *options, str(path)]


ANSIBLE_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
    "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
    "ANSIBLE_COLLECTIONS_PATH": str(TOP / "build/collections"),
    "ANSIBLE_HOME": str(TOP / "build/ansible"),
    "ANSIBLE_NOCOLOR": "1",
}
