# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems of this host, and which one a path lies on."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ...dataclass import dataclass
from ..files import kernel_lines


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    :param point: the directory that it is mounted on.
    :param kind: its type, as the kernel names it: ``ext4``, ``nfs4``.
    :param options: of this mount: ``rw``, ``noexec``.
    :param settings: of the file system, wherever it is mounted: ``hidepid=invisible``.
    """

    point: str
    kind: str
    options: tuple[str, ...]
    settings: tuple[str, ...] = ()


def mounts(table: str = "/proc/self/mountinfo") -> Iterator[Mount]:
    """All mounts, in the order in which they were made (proc_pid_mountinfo(5))."""
    for line in kernel_lines(table):
        left, _dash, right = line.partition(" - ")
        # only a space is between fields: a mount point may have other blanks in its name
        fields, kind_and_more = left.split(" "), right.split(" ")
        options, settings = fields[5].split(","), kind_and_more[-1].split(",")
        yield Mount(_unescaped(fields[4]), kind_and_more[0], tuple(options), tuple(settings))


def mount_of(path: str, table: str = "/proc/self/mountinfo") -> Mount:
    """The file system that holds a path, or would hold it.

    Of two file systems on one mount point the later one counts.
    """
    real = os.path.realpath(path)
    found = Mount("/", "unknown", ())
    for mount in mounts(table):
        below = real == mount.point or real.startswith(mount.point.rstrip("/") + "/")
        # an automounter's own entry lies below the file system that it mounts
        if below and mount.kind != "autofs" and len(mount.point) >= len(found.point):
            found = mount
    return found


def mounts_below(path: str, table: str = "/proc/self/mountinfo") -> list[Mount]:
    """The mounts at a directory and below it, in the order in which they were made."""
    top = path.rstrip("/")
    return [one for one in mounts(table) if f"{one.point}/".startswith(f"{top}/")]


def nearest_directory(path: str) -> str:
    """The path, or the nearest directory above it that is there; '' if a relative path has none."""
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _unescaped(field: str) -> str:
    """The kernel writes a space in a mount point as ``\\040``, and a backslash likewise."""
    first, *others = field.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in others)
