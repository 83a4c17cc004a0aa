# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks on which roles keep what users have: a mark on each says that it is the one."""

from __future__ import annotations

import os

from ..errors import CesError
from ..typed import Any, Sequence
from .files import read_json

MARK = ".tre-ces-disk"
"""Name of the file that a role left in the directory when it was applied."""
RECORDS = ("/etc/ces/container_storage.json", "/etc/ces/apptainer.json")
"""Files in which roles say where they keep what, and whether they left a mark there."""
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


def _is_there(path: str) -> bool:
    """Whether a file exists; what cannot be looked at may."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
