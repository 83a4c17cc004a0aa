# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts on which is measured: sets of the test bed, each with an inventory."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
INSTANCE = os.environ.setdefault("TESTBED", "bench")
HOST, USER = "debian13", "alice"
BEFORE = "006ea41"
"""The build that ours is compared with.

It started a module for each file and each question, and a run loaded more of the standard library.
"""


def on_host(line: str, stdin: str = "", user: str = USER) -> str:
    """What a user's line of shell writes on the host."""
    return run([TOP / "testbed/hosts", "login", HOST, user, line], stdin)


def playbook(*words: str, instance: str = INSTANCE, **environ: str) -> str:
    """What ansible-playbook writes, on the hosts of a set."""
    command = [TOP / "build/venv/bin/ansible-playbook", "--inventory", inventory_of(instance)]
    return run([*command, *words], environ=environ)


def inventory_of(instance: str) -> Path:
    """The directory with the inventory of a set."""
    return TOP / "build/testbed" / instance / "inventory"


def build_before() -> Path | None:
    """The build that ours is compared with, below build/; None where the history lacks it."""
    place = run([TOP / "testbed/earlier", BEFORE], check=False).strip()
    if not place:
        say(f"nothing: commit {BEFORE} is not in this checkout")
        return None
    return Path(place) / "ansible_collections/tre/ces"


def run(
    command: list[Any], stdin: str = "", environ: dict[str, str] | None = None, check: bool = True
) -> str:
    """What a command writes; the measurement ends where it fails, unless ``check`` is false."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        input=stdin,
        text=True,
        capture_output=True,
        env={**os.environ, **(environ or {})},
        check=False,
    )
    if check and done.returncode != 0:
        said = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        sys.exit(f"{shlex.join(words)[:300]} exited with {done.returncode}:\n{said}")
    return done.stdout


def say(what: str) -> None:
    print(f"measuring: {what} ...", flush=True)
