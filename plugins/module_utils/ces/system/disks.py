# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks on which users' images are, and whether they are there.

Where root alone may write, a mark on the disk says that it is the one. Where a group keeps images
for all users, its members could remove a mark: there the mount point is noted.
"""

from __future__ import annotations

import os

from ..errors import CesError
from ..typed import Any, Sequence
from .files import read_json

MARK = ".tre-ces-disk"
"""Name of the file that a role left in the directory when it was applied."""
RECORDS = ("/etc/ces/container_storage.json", "/etc/ces/apptainer.json")
"""Files in which roles say where they keep what, and whether they left a mark there."""
SHARED = "/etc/ces/shared_images.json"
"""File in which a role says on which mount point each directory of images for all users lies."""
CURE = (
    "the administrator mounts the disk, and sees why it was not mounted at boot (findmnt --verify,"
    " systemctl --failed)"
)


def lost_disks(records: Sequence[str] = RECORDS) -> tuple[str, ...]:
    """Directories whose disk is not there: they lack the mark that their role left in them."""
    found = []
    for file in records:
        try:
            record: Any = read_json(file, "the place of engines' files")
            root = record["storage_root"] if record.get("marked") else ""
        except (CesError, AttributeError, KeyError, TypeError):
            continue
        if root and not _is_there(f"{root}/{MARK}"):
            found.append(str(root))
    return tuple(found)


def refuse_lost_disks() -> None:
    """Keep engines from what lies below another disk, or below none.

    :raises CesError: a disk is not there.
    """
    for root in lost_disks():
        raise CesError(
            f"use the images in {root}",
            said=f"their disk is not there: {root} lacks the file {MARK}",
            hint=CURE,
        )


def unmounted(record: str = SHARED) -> dict[str, str]:
    """The directories for all users whose file system is not mounted, with its mount point."""
    try:
        said: Any = read_json(record, "the mount points of images")
        points = {str(path): str(point) for path, point in said["mounts"].items()}
    except (CesError, AttributeError, KeyError, TypeError):
        return {}
    if not points:
        return {}
    from .host.mounts import mounts

    for path in points:
        _is_there(path)  # so that an automounter mounts it
    found = {mount.point for mount in mounts() if mount.kind != "autofs"}
    return {path: point for path, point in points.items() if point not in found}


def refuse_unmounted(directory: str) -> None:
    """Keep images from a directory for all users that is not the one which others see.

    :raises CesError: its file system is not mounted.
    """
    point = unmounted().get(directory)
    if point:
        raise CesError(
            f"use the images in {directory}",
            said=f"their file system is not there: nothing is mounted on {point}",
            hint=CURE,
        )


def _is_there(path: str) -> bool:
    """Whether a file exists; what cannot be looked at may."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        # a mount point that is closed to users lies bare: roles leave the directory open to them
        return not os.path.isdir(os.path.dirname(path))
    except OSError:
        return True
    return True
