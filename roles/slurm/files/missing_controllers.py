# SPDX-License-Identifier: GPL-3.0-or-later
"""Print those of the named controllers of cgroup v2 that this host lacks; nothing if it has all.

Reads only: ``python3 missing_controllers.py CONTROLLER...``.
"""

from __future__ import annotations

import sys
from pathlib import Path


def missing(wanted: list[str]) -> list[str]:
    try:
        there = Path("/sys/fs/cgroup/cgroup.controllers").read_text(encoding="ascii").split()
    except FileNotFoundError:
        return wanted
    return [name for name in wanted if name not in there]


if __name__ == "__main__":
    print(*missing(sys.argv[1:]), end="")
