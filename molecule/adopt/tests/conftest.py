# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end that somebody had configured by hand before the roles came."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from remote import Done, Host, logged_in
from verifying import ENVIRONMENT, TOP

INVENTORY = Path(os.environ["TESTBED_INVENTORY"])


@pytest.fixture(scope="session")
def backend() -> Iterator[Host]:
    with logged_in(INVENTORY) as hosts:
        yield hosts["debian13"]


def playbook(name: str, *options: str) -> Done:
    """Run one of the collection's playbooks on the back-end."""
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), str(TOP / "playbooks" / name)]
    argv += [f"--inventory={INVENTORY}", f"--extra-vars=@{os.environ['TESTBED_SITE']}", *options]
    # a site may have it so: plays say what they need
    environ = {**ENVIRONMENT, "ANSIBLE_GATHERING": "explicit"}
    done = subprocess.run(
        argv, capture_output=True, text=True, cwd=TOP, env=environ, timeout=600, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)
