# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machine as its administrator sees it: over ssh, with sudo for whoever it takes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

INVENTORY = Path(os.environ["TESTBED_INVENTORY"])
USER = "alice"
STATE = f"/home/{USER}/.local/state/ces"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    rc: int
    out: str
    err: str


class Machine:
    """Commands as the administrator, as root or as a user; one connection for all of them."""

    def __init__(self, address: str, variables: dict[str, Any], sockets: str) -> None:
        self._ssh = [
            "ssh",
            *shlex.split(variables["ansible_ssh_common_args"]),
            f"-i{variables['ansible_ssh_private_key_file']}",
            "-oControlMaster=auto",
            "-oControlPersist=yes",
            f"-oControlPath={sockets}/%C",
            f"{variables['ansible_user']}@{address}",
        ]

    def run(self, *words: str, user: str = "root") -> Done:
        # the administrator's home is closed to others
        command = "cd / && " + shlex.join(["sudo", "--set-home", f"--user={user}", *words])
        done = subprocess.run(
            [*self._ssh, command], capture_output=True, text=True, timeout=300, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def says(self, *words: str, user: str = "root") -> str:
        """Standard output of a command that must succeed."""
        done = self.run(*words, user=user)
        assert done.rc == 0, f"as {user}: {shlex.join(words)} ended with {done.rc}: {done.err}"
        return done.out

    def lines(self, *words: str, user: str = "root") -> list[str]:
        return self.says(*words, user=user).splitlines()

    def close(self) -> None:
        subprocess.run([*self._ssh[:-1], "-Oexit", self._ssh[-1]], check=False)


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    inventory = yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]
    (host,) = inventory["children"]["ces_backends"]["hosts"].values()
    with tempfile.TemporaryDirectory(prefix="tre-ces-") as sockets:
        machine = Machine(host["ansible_host"], inventory["vars"], sockets)
        yield machine
        machine.close()


@pytest.fixture(scope="session")
def records(machine: Machine) -> dict[int, dict[str, Any]]:
    """The records of the user's runs, by number; read as the user: root may not."""
    files = machine.says("sh", "-c", f"cat {STATE}/runs/*/run.json", user=USER)
    decoder, found, position = json.JSONDecoder(), [], 0
    while position < len(files.rstrip()):
        record, position = decoder.raw_decode(files, position)
        found.append(record)
        position += len(files[position:]) - len(files[position:].lstrip())
    return {record["run_id"]: record for record in found}


@pytest.fixture(scope="session")
def log(machine: Machine) -> Any:
    """The log of a run."""
    return lambda number: machine.says("cat", f"{STATE}/runs/{number}/output.log", user=USER)
