# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end with two GPUs that are none, as its users reach it, and as a cluster of its own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from engines import WITH_GPUS as RUNNERS
from remote import Done, Host, logged_in, wait_until

TOP = Path(__file__).resolve().parents[3]
INVENTORY = Path(os.environ["TESTBED_INVENTORY"])
SITE: dict[str, Any] = yaml.safe_load((INVENTORY / "group_vars/all.yml").read_text())
REGISTRY = SITE["testbed_registry"]
SHELL = f"{REGISTRY}/tre/shell:1.0"
LOOK = "ls -d /dev/nvidia[0-9]* /dev/nvidia-caps/* 2>/dev/null; env | grep ^FAKE_GPU; true"
"""What a container has of GPUs: device files and variables."""
SPEC = "/etc/cdi/nvidia.json"
FIRST = "GPU-8f6e1c1e-2a3b-4c5d-9e7f-0a1b2c3d4e5f"
SECOND = "GPU-3d0a7b52-91c4-4e0a-8d55-5b6c7d8e9f00"
OLD = "550.54.14"


@dataclass(frozen=True)
class User:
    """A researcher with an image that runs what it is told."""

    host: Host
    name: str

    def run(self, script: str, stdin: str = "", timeout: float = 120) -> Done:
        return self.host.run(self.name, script, stdin, timeout)

    def ces_run(self, runner: str, *options: str, script: str = LOOK, before: str = "") -> Done:
        words = shlex.join(["ces-run", runner, *options, SHELL, script])
        return self.run(f"{before} {words}")

    def in_job(self, asked: str, runner: str, *options: str, script: str = LOOK) -> Done:
        words = ["srun", "--quiet", *asked.split(), "ces-run", runner, *options, SHELL, script]
        return self.run(shlex.join(words) + " </dev/null")

    def module(self, tmp: Path, module: str = "ces_run", **params: Any) -> dict[str, Any]:
        """What a module answers in a playbook that becomes this user."""
        program = str(Path(sys.executable).with_name("ansible"))
        argv = [program, "debian13", f"--inventory={INVENTORY}", f"--tree={tmp}"]
        argv += [f"--module-name=tre.ces.{module}"]
        argv += [f"--args={json.dumps(params)}"] if params else []
        environ = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
        environ["ANSIBLE_CONFIG"] = str(TOP / "ansible.cfg")
        environ["ANSIBLE_COLLECTIONS_PATH"] = str(TOP / "build/collections")
        environ["ANSIBLE_HOME"] = str(TOP / "build/ansible")
        argv += ["--become", f"--become-user={self.name}"]
        subprocess.run(argv, env=environ, cwd=TOP, capture_output=True, check=False, timeout=120)
        answer: dict[str, Any] = json.loads((tmp / "debian13").read_text())
        return answer


@dataclass(frozen=True)
class Machine:
    """The back-end, at the hand of its administrator."""

    host: Host

    def spec(self) -> str:
        return self.host.run("root", f"cat {SPEC}").out

    def set_gpus(self, version: str, layout: str, *words: str) -> None:
        self.host.root(shlex.join(["/srv/gpu/set-gpus", version, layout, *words]))

    def becomes(self, version: str, layout: str) -> None:
        """Another driver or layout, until the unit has made the specification of it by itself."""
        self.set_gpus(version, layout)
        wanted = f"libcuda.so.{version}"

        def made() -> bool:
            spec = self.spec()
            return wanted in spec and ('"0:1"' in spec) == (layout == "divided")

        wait_until(made, f"a specification for {version}, {layout}", 30)


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    with logged_in(INVENTORY) as found:
        yield found["debian13"]


@pytest.fixture(scope="session")
def machine(host: Host) -> Iterator[Machine]:
    found = Machine(host)
    found.becomes(OLD, "two")
    yield found


@pytest.fixture(scope="session")
def alice(host: Host) -> User:
    user = User(host, "alice")
    login = f"podman login --username {SITE['testbed_registry_user']} --password-stdin {REGISTRY}"
    user.run(login, stdin=SITE["testbed_registry_password"]).ok()
    recipe = f'FROM {SITE["testbed_image"]}\nENTRYPOINT ["/bin/sh", "-c"]\nCMD []\n'
    user.run(f"podman build --quiet --tag {SHELL} - && podman push --quiet {SHELL}", recipe).ok()
    for runner in RUNNERS:
        user.run(f"ces-pull {runner} {SHELL}").ok()
    return user
