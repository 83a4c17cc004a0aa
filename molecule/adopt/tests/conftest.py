# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end that others had their hands on before the roles came."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from remote import Done, Host, logged_in
from verifying import ENVIRONMENT, TOP

INVENTORY = Path(os.environ["TESTBED_INVENTORY"])
DECIDED: dict[str, Any] = {}
"""What the site writes into its inventory on the way, because a role asks for it."""
Snapshot = dict[str, list[str]]
"""By path: kind, mode, owner, group, and what is in it."""


@pytest.fixture(scope="session")
def backend() -> Iterator[Host]:
    with logged_in(INVENTORY) as hosts:
        yield hosts["debian13"]


def playbook(name: str, *options: str, **variables: Any) -> Done:
    """Run one of the collection's playbooks on the back-end."""
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), str(TOP / "playbooks" / name)]
    given = json.dumps({**DECIDED, **variables})
    argv += [f"--inventory={INVENTORY}", f"--extra-vars=@{os.environ['TESTBED_SITE']}"]
    argv += [f"--extra-vars={given}", *options]
    # a site may have it so: plays say what they need
    environ = {**ENVIRONMENT, "ANSIBLE_GATHERING": "explicit"}
    done = subprocess.run(
        argv, capture_output=True, text=True, cwd=TOP, env=environ, timeout=600, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def words_of(done: Done) -> str:
    """What a play said, without the ends of lines and quotes that YAML put in."""
    said = " ".join(done.said.split())
    return said.replace("''", "'").replace('\\"', '"')


def changed(done: Done) -> int:
    """How many tasks changed something, or would."""
    found = re.search(r" changed=(\d+) ", done.said)
    assert found, done.said
    return int(found[1])


def snapshot(backend: Host) -> Snapshot:
    program = Path(__file__).with_name("snapshot.py")
    found: Snapshot = json.loads(backend.root("python3 -", stdin=program.read_text()))
    return found


def info(backend: Host) -> dict[str, Any]:
    """What root's podman says of itself."""
    found: dict[str, Any] = json.loads(backend.root("podman info --format=json"))
    return found
