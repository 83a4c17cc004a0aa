# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems of this host, and which one a path lies on."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ...blocks import suppress
from ...dataclass import dataclass
from ..files import kernel_lines

_TO_PASS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
"""umount2(2)"""


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


def detach_fuse(top: str, directory: str) -> None:
    """Take away what users mounted at a directory of theirs, or below it, as FUSE lets them.

    Wants root. Who owns the directory can rename what is in it and put links there, at any time:
    no link is followed, and only a file system that is mounted below the directory goes. What
    cannot be reached stays.

    :param top: the directory above, which root alone may write.
    :param directory: its name there.
    """
    top = os.path.realpath(top)
    found = [one for one in mounts_below(f"{top}/{directory}") if one.kind.startswith("fuse")]
    # those above first: what is mounted in them goes with them, and root may not look into them
    for one in sorted(found, key=lambda one: one.point.count("/")):
        with suppress(OSError):
            _detach(top, one.point[len(top) :].strip("/"))


def _detach(top: str, path: str) -> None:
    """
    :raises OSError: there is no such directory, or nothing is mounted there.
    """
    # only root who clears away pays for loading it
    import ctypes

    *above, name = path.split("/")
    place = os.open(top, _TO_PASS)
    try:
        for part in above:
            below = os.open(part, _TO_PASS, dir_fd=place)
            os.close(place)
            place = below
        umount = ctypes.CDLL(None, use_errno=True).umount2
        if umount(os.fsencode(f"/proc/self/fd/{place}/{name}"), _MNT_DETACH | _UMOUNT_NOFOLLOW):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    finally:
        os.close(place)


def nearest_directory(path: str) -> str:
    """The path, or the nearest directory above it that is there; '' if a relative path has none."""
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _unescaped(field: str) -> str:
    """The kernel writes a space in a mount point as ``\\040``, and a backslash likewise."""
    first, *others = field.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in others)
