# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring directives of apptainer.conf to the wanted values, by ``apptainer config global``.

Run as root: ``python3 configure.py check|change SETTINGS``, where SETTINGS is a JSON object from
directives to values (text, numbers, booleans, or lists for directives that may stand several
times); prints one JSON object that tells what differed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

FILE = "/etc/apptainer/apptainer.conf"
KEPT = "/var/lib/tre-ces/replaced"
"""For root alone: what roles replace, here the file as it was before the first change."""


class Failed(Exception):
    """A directive could not be read or set, and what apptainer said."""


def config(option: str, *words: str) -> str:
    argv = ("apptainer", "config", "global", option, *words)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip() or f"status {done.returncode}"
        raise Failed(f"apptainer_settings: {' '.join(map(repr, words))}: apptainer said: {said}")
    return done.stdout.strip()


def text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def current(directive: str) -> list[str]:
    return [value for value in config("--get", directive).split(",") if value]


def keep() -> None:
    """Copy the file, unless that was done before an earlier change."""
    copy = f"{KEPT}{FILE}"
    if os.path.exists(FILE) and not os.path.exists(copy):
        os.makedirs(KEPT, mode=0o700, exist_ok=True)
        os.makedirs(os.path.dirname(copy), mode=0o700, exist_ok=True)
        shutil.copy2(FILE, copy)


def settle(directive: str, wanted: list[str], several: bool, change: bool) -> dict[str, Any] | None:
    before = current(directive)
    if sorted(before) == sorted(wanted):
        return None
    if change:
        keep()
        if several:
            for value in before:
                config("--unset", directive, value)
        # each value is put before those that are there
        for value in reversed(wanted):
            config("--set", directive, value)
        after = current(directive)
        if sorted(after) != sorted(wanted):
            raise Failed(f"{directive!r} was set to {wanted}, but apptainer reads {after}")
    return {"directive": directive, "before": before, "after": wanted}


def main(change: bool, settings: dict[str, Any]) -> None:
    differed = []
    for directive, value in settings.items():
        several = isinstance(value, list)
        wanted = [text(one) for one in (value if several else [value])]
        if found := settle(directive, wanted, several, change):
            differed.append(found)
    print(json.dumps({"differed": differed}))


if __name__ == "__main__":
    try:
        main(sys.argv[1] == "change", json.loads(sys.argv[2]))
    except Failed as failure:
        sys.exit(str(failure))
