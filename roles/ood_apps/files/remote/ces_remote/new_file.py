# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are being written have names that nobody has. It is also sent to the back-end."""

from __future__ import annotations

import os

TEMPORARY = ".ces-copying-"
"""How files begin that are being written; what whoever is killed leaves, the next copy removes."""


def new_file(parent: int, mode: int) -> tuple[str, int]:
    """An empty file with a name that nobody has, in a directory that is open."""
    name = f"{TEMPORARY}{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=parent)
    os.fchmod(descriptor, mode)
    return name, descriptor
