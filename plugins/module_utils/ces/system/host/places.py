# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that a user's containers need: what holds them, room there, and who may write."""

from __future__ import annotations

import os
import shutil
import tempfile

from ...dataclass import dataclass, field
from ...errors import CesError
from ...typed import Collection, Mapping
from ..account import Account
from ..disks import lost_disks, unmounted
from ..process import Process
from .mounts import Mount, mount_of, nearest_directory
from .namespaces import own_overlay_said

_TRIAL = b"\0" * 65536
"""As much as a run's record has reserved; a quota that is used up refuses it."""
_TABLE = "/proc/self/mountinfo"


@dataclass(frozen=True)
class Place:
    """One directory.

    :param there: whether it exists; what is said of others holds for the nearest one above.
    :param owner: the uid that it belongs to.
    :param mount: the file system that holds it.
    :param free: bytes for this user.
    :param files: how many more files it can have; None where nothing counts them.
    :param refused: why the user could not write there, or ''.
    """

    path: str
    there: bool
    owner: int
    mount: Mount
    free: int
    files: int | None
    refused: str = ""


@dataclass(frozen=True)
class Places:
    """All of a user's.

    :param places: by what they are for: ``home``, ``records``, and those of the engines.
    :param overlay: by what a place is for, why the user could not mount an overlay there.
    :param lost: directories of these whose disk is not there.
    :param unmounted: directories of images for all whose file system is not there, with its mount
        point.
    :param anothers: of what was made for somebody else who had the uid before, or ''.
    :param fuse_overlay: whether fuse-overlayfs is there in its place.
    """

    user: str
    uid: int
    places: Mapping[str, Place]
    overlay: Mapping[str, str] = field(default_factory=dict)
    anothers: str = ""
    fuse_overlay: bool = True
    lost: tuple[str, ...] = ()
    unmounted: Mapping[str, str] = field(default_factory=dict)

    def of(self, what: str) -> Place | None:
        """The directory for that, if the site's engines need one."""
        return self.places.get(what)


def look_at_places(
    account: Account,
    process: Process,
    of_engines: Mapping[str, str],
    layered: Collection[str] = (),
) -> Places:
    """Find out about a user's directories, and try to write in each.

    :param of_engines: those that engines need, by what they are for.
    :param layered: in which of them layers are put over each other.
    """
    paths = {"home": account.home, "records": account.state, **of_engines}
    places = {what: look_at_place(path) for what, path in paths.items()}
    programs = account.lasting_environ["PATH"]
    # a PATH without these is told of the engines
    can_try = all(shutil.which(name, path=programs) for name in ("unshare", "mount"))
    overlay = {}
    for what in layered:
        if not places[what].refused and account.uid != 0 and can_try:
            overlay[what] = own_overlay_said(process, nearest_directory(places[what].path))
    try:
        account.refuse_what_is_anothers()
        anothers = ""
    except CesError as error:
        anothers = error.said
    fuse = any(os.access(f"{path}/fuse-overlayfs", os.X_OK) for path in programs.split(":"))
    fuse = fuse and os.path.exists("/dev/fuse")
    lost = lost_disks()
    return Places(account.name, account.uid, places, overlay, anothers, fuse, lost, unmounted())


def look_at_place(path: str, table: str = _TABLE) -> Place:
    """Find out about one directory. It is as it was afterwards.

    :param table: of mounts, for tests.
    """
    nearest = nearest_directory(path)
    status = os.stat(nearest)
    room = os.statvfs(nearest)
    return Place(
        path=path,
        there=os.path.isdir(path),
        owner=status.st_uid,
        mount=mount_of(path, table),
        free=room.f_bavail * room.f_frsize,
        # btrfs and others make them as they go, and say 0 of 0
        files=room.f_favail if room.f_files else None,
        refused=_write_refused(nearest),
    )


def _write_refused(directory: str) -> str:
    """What the system said to a file of ours there, or ''."""
    try:
        with tempfile.NamedTemporaryFile(prefix=".ces-doctor-", dir=directory) as stream:
            stream.write(_TRIAL)
            stream.flush()
            # network file systems say it first when they have to
            os.fsync(stream.fileno())
    except OSError as error:
        return str(error.strerror or error)
    return ""
