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
_EMPTY = ("dev", "etc", "proc", "run", "sys", "tmp", "var/tmp", "safe_outputs")


def make_root(directory: str, process: Process) -> None:
    """Put the shell, and the libraries that it is linked with, into a directory.

    :raises CesError: there is no room, or no shell that can be taken apart.
    """
    found = shutil.which("sh", path="/usr/bin:/bin")
    if found is None:
        raise CesError("make a small image", said="sh is neither in /usr/bin nor in /bin")
    linked = process.run(Command((_LINKER, found))).check("see what sh is linked with").stdout
    with explained(f"make a small image in {directory}"):
        for name in _EMPTY:
            os.makedirs(f"{directory}/{name}")
        for file in [found, *re.findall(r"(/\S+) \(0x", linked)]:
            place = f"{directory}{SHELL if file == found else file}"
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copy(file, place)
