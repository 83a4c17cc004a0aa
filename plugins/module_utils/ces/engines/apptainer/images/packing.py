# SPDX-License-Identifier: GPL-3.0-or-later
"""How mksquashfs packs an image file: fast, in little memory, on the processors of the site.

By default apptainer has mksquashfs compress as tightly as it can (gzip, level 9), which is nearly
all of a pull's time. What is told here takes a fifth of it, and the file grows by 4 % with zstd, by
10 % with gzip (a Debian of 518 MB, apptainer 1.4.5, mksquashfs 4.6.1).
"""

from __future__ import annotations

import math
import os
import re

from ....typed import Sequence
from ....values.policy import Policy

_SINCE = (1, 4)
"""The first apptainer that knows ``--mksquashfs-args`` (its CHANGELOG)."""
_COMPRESSIONS = {
    "zstd": ("-comp", "zstd", "-Xcompression-level", "3"),
    "gzip": ("-comp", "gzip", "-Xcompression-level", "1"),
}
"""By ``sif_compression`` of the policy."""
_PLAIN_TABLES = "-noI"
"""Inodes and directories are not compressed: each run looks for places there, without libzstd."""
_MEBIBYTE = 1024 * 1024
_MEMORY, _MEMORY_LEAST = 256 * _MEBIBYTE, 64 * _MEBIBYTE
"""Bytes that mksquashfs may take for its work; by default that is a quarter of the host's."""


def version_in(said: str) -> tuple[int, ...]:
    """The first two numbers of what apptainer says its version is; 0 where it says none."""
    found = re.search(r"(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else (0,)


def packing(policy: Policy, version: tuple[int, ...]) -> Sequence[str]:
    """Options of ``apptainer build``; none for an apptainer that does not know them."""
    if version < _SINCE:
        return ()
    # left alone, mksquashfs takes all processors that there are
    processors = len(os.sched_getaffinity(0))
    most = policy.cpus.maximum
    allowed = processors if most is None else min(processors, max(1, math.floor(most)))
    wanted = policy.memory.maximum
    memory = _MEMORY if wanted is None else max(_MEMORY_LEAST, min(_MEMORY, int(wanted)))
    words = (
        *_COMPRESSIONS[policy.sif_compression],
        _PLAIN_TABLES,
        *("-mem", f"{memory // _MEBIBYTE}M"),
        *("-processors", f"{allowed}"),
    )
    return (f"--mksquashfs-args={' '.join(words)}",)
