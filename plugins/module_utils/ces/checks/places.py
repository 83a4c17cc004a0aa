# SPDX-License-Identifier: GPL-3.0-or-later
"""Can a user's containers live where they are kept? No I/O."""

from __future__ import annotations

import errno
import os

from ..system.host.places import Place, Places
from ..typed import Iterator
from ..values.policy import Policy
from ..values.quantities import spell_bytes
from .look import Look
from .row import Told

NETWORK = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs"),
    *("glusterfs", "gpfs", "lustre", "nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb3", "wekafs"),
)
"""File systems that refuse what podman's storage needs, as the role container_storage has them."""
_NO_OVERLAY = ("aufs", "ecryptfs", "overlay")
_LITTLE, _NOTHING = 1 << 30, 64 << 20
"""Bytes: an image of a usual size needs the first, no image fits into the second."""
_PASSING = ("temporary", "building")
"""Directories that a user's variables may name."""
_DENIED = os.strerror(errno.EACCES)
_NOT_OURS = "the administrator adds {} to ces_users and applies the role container_storage"
_HOME_LITTLE = 64 << 20
_FILES_LITTLE = 10_000
_LOCAL = "the administrator applies the role container_storage: it puts it on a local disk"
_ROOM = "remove images with ces-rm, and what is not needed there"
_WORDS = {
    "home": "your home",
    "records": "the directory of your runs' records",
    "storage": "podman's storage",
    "data": "the directory of your bundles",
    "files": "the directory of your image files",
    "temporary": "podman's directory for pulls",
    "cache": "apptainer's cache",
    "building": "apptainer's directory for pulls",
}
_BREAKS = {
    "home": "no run can make its outputs and scratch",
    "records": "no run can start",
    "storage": "podman can neither pull nor run",
    "data": "no image can be unpacked for the runner oci",
    "files": "no image file can be made for apptainer",
    "temporary": "podman cannot pull",
    "cache": "apptainer cannot pull",
    "building": "apptainer cannot pull",
}


def tell_network(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether what needs a local file system has one."""
    for what in ("storage", "data", "building"):
        place = found.of(what)
        if place is not None and place.mount.kind in NETWORK:
            yield Told(
                "fault" if what == "storage" else "warning",
                f"{_WORDS[what]} {place.path} lies on {place.mount.kind} (mounted at"
                f" {place.mount.point}), which refuses files of other ids, extended attributes and"
                f" locks: {_BREAKS[what] if what == 'storage' else 'pulls and runs may fail'}",
                _LOCAL,
                "container_storage" if what != "building" else "apptainer",
            )


def tell_overlay(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether podman can put layers over each other."""
    place = found.of("storage")
    if place is None or place.mount.kind in NETWORK:
        return
    if place.mount.kind in _NO_OVERLAY:
        yield Told(
            "fault",
            f"podman's storage {place.path} lies on {place.mount.kind}, on which no overlay can be"
            " put: podman can neither pull nor run",
            "the administrator sets container_storage_root to a directory on ext4 or xfs",
            "container_storage",
        )
    elif found.overlay:
        said = f"the kernel's overlay does not work in {place.path} ({found.overlay:.120})"
        if found.fuse_overlay:
            yield Told("note", f"{said}: podman takes fuse-overlayfs, which is slower")
        else:
            yield Told(
                "fault",
                f"{said}, and fuse-overlayfs is not there: podman can neither pull nor run",
                "the administrator takes ext4 or xfs and a kernel from 5.13 on, or installs"
                " fuse-overlayfs and loads the module fuse",
                "container_storage",
            )


def tell_flags(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether the file systems allow what containers do there."""
    home = found.of("home")
    if home is not None and "noexec" in home.mount.options:
        yield Told(
            "warning",
            f"{home.mount.point} is mounted noexec, and your home lies there: programs in /scratch"
            " and /safe_outputs cannot be started",
            "name directories elsewhere with --scratch and --outputs for what is compiled there",
        )
    place = found.of("data")
    if place is not None and "noexec" in place.mount.options:
        yield Told(
            "warning",
            f"{place.mount.point} is mounted noexec, and {_WORDS['data']} lies there: with"
            " --read-only, and by srun --container, programs of images cannot be started",
            "the administrator mounts it without noexec, or sets container_storage_root to a"
            " directory elsewhere",
            "container_storage",
        )


def tell_written(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether the user can write in each place."""
    home = found.of("home")
    for what, place in found.places.items():
        if what in _PASSING and not place.there:
            continue  # tell_temporary() does
        if place.refused and (home is None or home.there):
            of_role = what in ("storage", "data")
            lacking = of_role and not place.there
            yield Told(
                "fault",
                f"{found.user} cannot {'make' if lacking else 'write in'} {_WORDS[what]}"
                f" {place.path} ({place.refused}): {_BREAKS[what]}",
                (
                    _NOT_OURS.format(found.user)
                    if lacking and place.refused == _DENIED
                    else _cure(place)
                ),
                "container_storage" if of_role else "",
            )


def tell_owner(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether what should be the user's own is."""
    for what in ("storage", "data", "records", "cache"):
        place = found.of(what)
        if place is not None and place.there and place.owner != found.uid and not place.refused:
            yield Told(
                "fault",
                f"{_WORDS[what]} {place.path} belongs to uid {place.owner}, not to {found.user}:"
                f" {_BREAKS[what]}",
                f"the administrator gives it to {found.user} (chown), or it is removed",
            )


def tell_home(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether there is a home, and room in it."""
    place = found.of("home")
    if place is not None and not place.there:
        yield Told(
            "fault",
            f"the home {place.path} does not exist: no run can make its outputs and scratch",
            "the administrator makes it, or mounts it",
        )
    elif place is not None and not place.refused and place.free < _HOME_LITTLE:
        yield Told(
            "warning",
            f"your home {place.path} has {spell_bytes(place.free)} left: outputs of a run will not"
            " fit",
            "free some space, or name another directory with --outputs and --scratch",
        )


def tell_room(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether there is room for images."""
    for what in ("storage", "data", "files", "temporary", "building"):
        place = found.of(what)
        if place is None or place.refused:
            continue
        if place.free < _LITTLE:
            yield Told(
                "fault" if place.free < _NOTHING else "warning",
                f"{_WORDS[what]} {place.path} has {spell_bytes(place.free)} left: an image will"
                " not fit",
                _ROOM,
            )
        if place.files is not None and place.files < _FILES_LITTLE:
            yield Told(
                "warning",
                f"the file system of {_WORDS[what]} {place.path} can have {place.files} more files:"
                " an image has tens of thousands",
                _ROOM,
            )


def tell_temporary(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether the directories for pulls are there."""
    for what in _PASSING:
        place = found.of(what)
        if place is not None and not place.there:
            yield Told(
                "fault",
                f"{_WORDS[what]} {place.path} does not exist: {_BREAKS[what]}",
                f"make {place.path}; or unset TMPDIR or APPTAINER_TMPDIR, if it names that",
            )


def _cure(place: Place) -> str:
    if "quota" in place.refused:
        return "free some space, or ask the administrator for a larger quota"
    if "space" in place.refused:
        return "free some space"
    if "Read-only" in place.refused:
        return f"the administrator mounts {place.mount.point} read-write, or looks for a bad disk"
    return "the administrator corrects its owner and mode"


LOOKS = (
    Look("storage_file_system", "no storage lies on a network file system", tell_network),
    Look("storage_overlay", "podman can put layers over each other", tell_overlay),
    Look("storage_flags", "programs of images may be started", tell_flags),
    Look("writable", "the user can write where containers need it", tell_written),
    Look("owner", "the user's directories are the user's own", tell_owner),
    Look("home", "there is a home, and room in it", tell_home),
    Look("room", "there is room for images", tell_room),
    Look("temporary", "the directories for pulls are there", tell_temporary),
)
"""In the order in which causes come before their effects. A new check is a new row."""
