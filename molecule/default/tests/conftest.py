# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that knows testinfra: the tests see a back-end and what its tools say."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

INVENTORY = os.environ["TESTBED_INVENTORY"]
SITE: dict[str, Any] = yaml.safe_load(Path(INVENTORY, "group_vars/all.yml").read_text())


@dataclass(frozen=True)
class BackEnd:
    """A host that researchers run containers on; asked as root, or as the user named."""

    name: str
    host: Any

    def says(self, *words: str, user: str | None = None) -> str:
        """Standard output of a command that must succeed."""
        command = shlex.join(words)
        if user:
            command = f"su --login {user} --command {shlex.quote(command)}"
        done = self.host.run(command)
        assert done.rc == 0, f"{self.name}: {command} ended with {done.rc}: {done.stderr}"
        return str(done.stdout)

    def json(self, *words: str, user: str | None = None) -> Any:
        return json.loads(self.says(*words, user=user))

    def read(self, path: str) -> str:
        return self.says("cat", path)

    def record(self, user: str, number: int) -> dict[str, Any]:
        return dict(json.loads(self.read(f"/home/{user}/.local/state/ces/runs/{number}/run.json")))

    def log(self, user: str, number: int) -> str:
        return self.read(f"/home/{user}/.local/state/ces/runs/{number}/output.log")


def _hosts(group: str) -> list[Any]:
    return list(testinfra.get_hosts([f"ansible://{group}"], ansible_inventory=INVENTORY))


_BACK_ENDS = [
    BackEnd(host.backend.get_pytest_id().rpartition("/")[2], host)
    for host in _hosts("ces_backends")
]


@pytest.fixture(params=_BACK_ENDS, ids=lambda back_end: back_end.name)
def backend(request: pytest.FixtureRequest) -> BackEnd:
    one: BackEnd = request.param
    return one


@pytest.fixture(scope="session")
def registry() -> BackEnd:
    return BackEnd("registry", _hosts("ces_registries")[0])


@pytest.fixture(scope="session")
def site() -> dict[str, Any]:
    """The test bed's own variables (testbed/group_vars/all.yml)."""
    return SITE
