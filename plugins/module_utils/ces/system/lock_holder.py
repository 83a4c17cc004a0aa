# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds a lock: loaded where somebody has to wait for one."""

from __future__ import annotations

import os

from ..blocks import suppress


def lock_holder(descriptor: int) -> str:
    """Who holds the lock on a file (proc_locks(5)); empty if the kernel does not say."""
    import pwd

    status = os.fstat(descriptor)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    wanted = ["FLOCK", f"{device}:{status.st_ino}"]
    with open("/proc/locks", encoding="ascii") as stream:
        rows = [line.split() for line in stream]
    for pid in (row[4] for row in rows if [row[1], row[5]] == wanted):
        with suppress(OSError, KeyError):
            return f"{pwd.getpwuid(os.stat(f'/proc/{pid}').st_uid).pw_name} (process {pid})"
    return ""
