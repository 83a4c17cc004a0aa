# SPDX-License-Identifier: GPL-3.0-or-later
"""A root file system of the host's own shell, to run a container where no image is."""

from __future__ import annotations

import os
import re
import shutil

from ...errors import CesError
from ...values.command import Command
from ..files import explained
from ..process import Process

SHELL = "/bin/sh"
_LINKER = "ldd"
"""Of the C library: every host has it."""
_FILES: list[str] = []
_EMPTY = ("dev", "etc", "proc", "run", "sys", "tmp", "var/tmp", "safe_outputs")


def make_root(directory: str, process: Process) -> None:
    """Put the shell, and the libraries that it is linked with, into a directory.

    :raises CesError: there is no room, or no shell that can be taken apart.
    """
    files = shell_files(process)
    with explained(f"make a small image in {directory}"):
        for name in _EMPTY:
            os.makedirs(f"{directory}/{name}")
        for file in files:
            place = f"{directory}{SHELL if file == files[0] else file}"
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copy(file, place)


def shell_files(process: Process) -> list[str]:
    """The host's shell, and behind it the libraries that it is linked with.

    They are looked for once: who makes many small images in children asks before.

    :raises CesError: there is no shell, or it cannot be taken apart.
    """
    if not _FILES:
        found = shutil.which("sh", path="/usr/bin:/bin")
        if found is None:
            raise CesError("make a small image", said="sh is neither in /usr/bin nor in /bin")
        linked = process.run(Command((_LINKER, found))).check("see what sh is linked with").stdout
        _FILES.extend([found, *re.findall(r"(/\S+) \(0x", linked)])
    return _FILES
