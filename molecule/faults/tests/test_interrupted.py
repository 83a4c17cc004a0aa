# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are stopped: what must follow a change follows it in the run that comes after.

Each run is stopped after its first change, and is followed by another one, until there is none left
to make. So nothing can follow a change in the run that made it. The host must then be as one that
was never stopped. ``CES_STOPS=all`` takes all roles of a back-end at once, and stops after each of
the changes by itself, too: half an hour.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import ANSIBLE_ENVIRONMENT, AUTH, TOP, ansible_playbook
from remote import Done, Host

CALLBACKS = Path(__file__).with_name("callbacks")
ROOT = "/var/lib/tre-ces/containers"
STOPPED = 99
ALL = os.environ.get("CES_STOPS") == "all"
OTHERS = ",apptainer,oci" if ALL else ""
PARTS = ["registry", f"subid,container_storage,podman{OTHERS},ces_tools"]
"""The registry's host, and a back-end; by default with the roles that something must follow."""


def settle(part: str, changes: Path, stop_after: int = 0) -> Done:
    """Run roles of the playbook; end it after that change."""
    changes.write_text("")
    nobody: dict[str, list[str]] = {"podman_verify_users": [], "apptainer_verify_users": []}
    words = [f"--tags={part}", f"--extra-vars={json.dumps(nobody)}"]
    done = subprocess.run(
        ansible_playbook(TOP / "playbooks/backend.yml", *words),
        capture_output=True,
        text=True,
        cwd=TOP,
        env={
            **ANSIBLE_ENVIRONMENT,
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "stop_after",
            "CES_STOP_AFTER": str(stop_after),
            "CES_CHANGES": str(changes),
        },
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, STOPPED), done.stdout + done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Settled:
    """A host that the roles have configured."""

    host: Host
    asked: dict[str, Any]

    def unsettle(self) -> None:
        self.host.ask("root", "unsettle", root=ROOT)

    def state(self) -> dict[str, str]:
        return dict(self.host.ask("root", "state_of_host", root=ROOT, **self.asked))


@pytest.fixture(params=PARTS, ids=["registry", "backend"])
def part(request: pytest.FixtureRequest) -> str:
    """Roles to run."""
    return str(request.param)


@pytest.fixture
def changes(tmp_path: Path) -> Path:
    return tmp_path / "changes"


@pytest.fixture
def settled(
    part: str, changes: Path, backend: Host, registry: Host, site: dict[str, Any]
) -> Iterator[Settled]:
    """The host, on which nobody has got other ids afterwards."""
    if part == "registry":
        absent = {"host": site["testbed_registry"], "delete": f"/v2/x/manifests/sha256:{'0' * 64}"}
        login = {"ca": "/etc/docker/registry/tls/ca.crt", "authorization": f"Basic {AUTH}"}
        yield Settled(registry, {**absent, **login})
        return
    backend.root("cp -p /etc/subuid /etc/subgid /root")
    yield Settled(backend, {})
    backend.root("mv /root/subuid /root/subgid /etc")
    settle(part, changes)


def test_runs_that_are_stopped_after_each_change(
    part: str, settled: Settled, changes: Path
) -> None:
    settled.unsettle()
    ill = settled.state()
    settle(part, changes)
    whole = settled.state()
    settled.unsettle()
    assert settled.state() == ill
    made: list[str] = []
    while settle(part, changes, stop_after=1).rc == STOPPED:
        made += changes.read_text().splitlines()
        assert len(made) < 60, made
    assert settled.state() == whole, made
    print("stopped after", *made, sep="\n")


@pytest.mark.skipif(not ALL, reason="half an hour: CES_STOPS=all")
def test_a_run_that_is_stopped_after_any_change(part: str, settled: Settled, changes: Path) -> None:
    settled.unsettle()
    settle(part, changes)
    made, whole = changes.read_text().splitlines(), settled.state()
    for number, change in enumerate(made, 1):
        settled.unsettle()
        assert settle(part, changes, stop_after=number).rc == STOPPED, change
        settle(part, changes)
        assert settled.state() == whole, f"stopped after change {number}, {change}"
