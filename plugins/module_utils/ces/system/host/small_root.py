# SPDX-License-Identifier: GPL-3.0-or-later
"""A root file system of the host's own shell, to run a container where no image is."""

from __future__ import annotations

import os
import re
import shutil

from ...errors import CesError
from ...typed import Sequence
from ...values.command import Command
from ..files import explained
from ..process import Process

SHELL = "/bin/sh"
_LINKER = "ldd"
"""Of the C library: every host has it."""
_FILES: dict[str, list[str]] = {}
_EMPTY = ("bin", "dev", "etc", "proc", "run", "sys", "tmp", "var/tmp", "safe_outputs")


def make_root(directory: str, process: Process, programs: Sequence[str] = ("sh",)) -> None:
    """Put programs, and the libraries that they are linked with, into a directory.

    :raises CesError: there is no room, or no such program that can be taken apart.
    """
    files = {name: files_of(name, process) for name in programs}
    with explained(f"make a small image in {directory}"):
        for name in _EMPTY:
            os.makedirs(f"{directory}/{name}")
        for name, (program, *libraries) in files.items():
            shutil.copy(program, f"{directory}/bin/{name}")
            for library in libraries:
                place = f"{directory}{library}"
                os.makedirs(os.path.dirname(place), exist_ok=True)
                shutil.copy(library, place)


def files_of(program: str, process: Process) -> list[str]:
    """One of the host's programs, and behind it the libraries that it is linked with.

    They are looked for once: who makes many small images in children asks before.

    :raises CesError: there is no such program, or it cannot be taken apart.
    """
    if program not in _FILES:
        found = shutil.which(program, path="/usr/bin:/bin")
        if found is None:
            raise CesError("make a small image", said=f"{program} is neither in /usr/bin nor /bin")
        done = process.run(Command((_LINKER, found))).check(f"see what {program} is linked with")
        _FILES[program] = [found, *re.findall(r"(/\S+) \(0x", done.stdout)]
    return _FILES[program]
