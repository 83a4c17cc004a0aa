# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that a user's containers need: what holds them, room there, and who may write."""

from __future__ import annotations

import os
import shutil
import tempfile

from ...dataclass import dataclass
from ...typed import Mapping
from ...values.policy import Policy
from ..account import Account
from ..podman_places import podman_storage, podman_temporary
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

    :param places: by what they are for: ``home``, ``records``, ``storage`` (podman's), ``data``
        (bundles), ``files`` (image files), ``temporary`` (podman's pulls), ``cache`` and
        ``building`` (apptainer's).
    :param overlay: why the user could not mount an overlay in the storage, or ''.
    :param fuse_overlay: whether fuse-overlayfs is there in its place.
    """

    user: str
    uid: int
    places: Mapping[str, Place]
    overlay: str = ""
    fuse_overlay: bool = True

    def of(self, what: str) -> Place | None:
        """The directory for that, if the site's engines need one."""
        return self.places.get(what)


def look_at_places(account: Account, policy: Policy, process: Process, root: str = "") -> Places:
    """Find them, and try to write in each.

    :param root: of the host's configuration, for tests.
    """
    environ = account.lasting_environ
    data = environ.get("XDG_DATA_HOME") or f"{account.home}/.local/share"
    paths = {"home": account.home, "records": account.state}
    if "podman" in policy.runners:
        paths["storage"] = podman_storage(account, root)
        paths["temporary"] = podman_temporary(account, root)
    if "oci" in policy.runners:
        paths["data"] = f"{data}/ces/bundles"
    if "apptainer" in policy.runners:
        # as the store of image files has it, which may be on a network file system
        files = account.environ.get("XDG_DATA_HOME") or f"{account.home}/.local/share"
        paths["files"] = f"{files}/ces/sif"
        paths["cache"] = environ.get("APPTAINER_CACHEDIR") or f"{account.home}/.apptainer/cache"
        paths["building"] = (
            environ.get("APPTAINER_TMPDIR") or environ.get("TMPDIR") or tempfile.gettempdir()
        )
    places = {what: look_at_place(path) for what, path in paths.items()}
    storage = places.get("storage")
    overlay = ""
    # a PATH without these is told of the engines
    can_try = all(shutil.which(name, path=environ["PATH"]) for name in ("unshare", "mount"))
    if storage is not None and not storage.refused and account.uid != 0 and can_try:
        overlay = own_overlay_said(process, nearest_directory(storage.path))
    fuse = any(os.access(f"{path}/fuse-overlayfs", os.X_OK) for path in environ["PATH"].split(":"))
    return Places(account.name, account.uid, places, overlay, fuse and os.path.exists("/dev/fuse"))


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
