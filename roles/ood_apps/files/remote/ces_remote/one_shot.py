# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a job reads once and removes: on one side at a time, and on none when it is over."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from .site import Site


def remove_one_shot(site: Site, directory: str) -> None:
    """Remove these files from a job's directory here."""
    for name in site.one_shot:
        path = f"{directory}/{name}"
        with suppress(OSError):
            if stat.S_ISDIR(os.lstat(path).st_mode):
                continue
            os.unlink(path)
