# SPDX-License-Identifier: GPL-3.0-or-later
"""Can a user's containers live where they are kept? No I/O."""

from __future__ import annotations

import errno
import os

from ..engines.table import known_runners
from ..engines.traits import Kept
from ..system.disks import CURE, MARK
from ..system.host.places import Place, Places
from ..typed import Iterator
from ..values.policy import Policy
from ..values.quantities import spell_bytes
from .look import Look, Told

NETWORK = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs"),
    *("glusterfs", "gpfs", "lustre", "nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb3", "wekafs"),
)
"""File systems that refuse what podman's storage needs, unless a site names others to its roles."""
NO_OVERLAY = ("aufs", "ecryptfs", "overlay")
_LITTLE, _NOTHING = 1 << 30, 64 << 20
"""Bytes: an image of a usual size needs the first, no image fits into the second."""
_DENIED = os.strerror(errno.EACCES)
_NOT_OURS = "the administrator adds {} to ces_users and applies the role {}"
_HOME_LITTLE = 64 << 20
_FILES_LITTLE = 10_000
_LOCAL = "the administrator applies the role {}: it puts it on a local disk"
_ROOM = "remove images with ces-rm, and what is not needed there"
_OF_ALL = (
    Kept("home", "your home", "no run can make its outputs and scratch"),
    Kept("records", "the directory of your runs' records", "no run can start", own=True),
)


def _each(found: Places, policy: Policy) -> Iterator[tuple[Kept, Place]]:
    """What is found of the directories that every run needs, and of those of the site's engines."""
    engines = known_runners(policy.runners).values()
    for kept in (*_OF_ALL, *(kept for engine in engines for kept in engine.traits().kept)):
        place = found.of(kept.name)
        if place is not None:
            yield kept, place


def tell_disks(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether the disks are mounted."""
    for root in found.lost:
        yield Told(
            "fault",
            f"{root} lacks the file {MARK}, which provisioning left there: the disk is not mounted,"
            " and your images are on it",
            CURE,
        )


def tell_shared(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether the file systems of images for all users are mounted."""
    for path, point in found.unmounted.items():
        yield Told(
            "fault",
            f"nothing is mounted on {point}, where a file system was when the host was provisioned:"
            f" the images for all users in {path} are not there",
            CURE,
        )


def tell_network(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether what needs a local file system has one."""
    for kept, place in _each(found, policy):
        if kept.remote and place.mount.kind in NETWORK:
            yield Told(
                kept.remote,
                f"{kept.words} {place.path} lies on {place.mount.kind} (mounted at"
                f" {place.mount.point}), which refuses files of other ids, extended attributes and"
                f" locks: {kept.breaks if kept.remote == 'fault' else 'pulls and runs may fail'}",
                _LOCAL.format(kept.role),
                kept.role,
            )


def tell_overlay(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether layers can be put over each other where engines do that."""
    for kept, place in _each(found, policy):
        if kept.layered and place.mount.kind not in NETWORK:
            yield from _overlay(kept, place, found)


def _overlay(kept: Kept, place: Place, found: Places) -> Iterator[Told]:
    refused = found.overlay.get(kept.name, "")
    if place.mount.kind in NO_OVERLAY:
        yield Told(
            "fault",
            f"{kept.words} {place.path} lies on {place.mount.kind}, on which no overlay can be"
            f" put: {kept.breaks}",
            "the administrator sets container_storage_root to a directory on ext4 or xfs",
            kept.role,
        )
    elif refused:
        said = f"the kernel's overlay does not work in {place.path} ({refused:.120})"
        if found.fuse_overlay:
            yield Told("note", f"{said}: fuse-overlayfs takes its place, which is slower")
        else:
            yield Told(
                "fault",
                f"{said}, and fuse-overlayfs is not there: {kept.breaks}",
                "the administrator takes ext4 or xfs and a kernel from 5.13 on, or installs"
                " fuse-overlayfs and loads the module fuse",
                kept.role,
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
    for kept, place in _each(found, policy):
        if kept.noexec and "noexec" in place.mount.options:
            yield Told(
                "warning",
                f"{place.mount.point} is mounted noexec, and {kept.words} lies there:"
                f" {kept.noexec}",
                "the administrator mounts it without noexec, or sets container_storage_root to a"
                " directory elsewhere",
                kept.role,
            )


def tell_written(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether the user can write in each place."""
    home = found.of("home")
    for kept, place in _each(found, policy):
        if kept.passing and not place.there:
            continue  # tell_temporary() does
        if any(place.path.startswith(f"{root}/") for root in found.lost):
            continue  # tell_disks() does
        if place.refused and (home is None or home.there):
            lacking = kept.made and not place.there
            yield Told(
                "fault",
                f"{found.user} cannot {'make' if lacking else 'write in'} {kept.words}"
                f" {place.path} ({place.refused}): {kept.breaks}",
                (
                    _NOT_OURS.format(found.user, kept.role)
                    if lacking and place.refused == _DENIED
                    else _cure(place)
                ),
                kept.role if kept.made else "",
            )


def tell_anothers(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether nothing of it was made for somebody else."""
    if found.anothers:
        yield Told(
            "fault",
            f"{found.anothers}: no command here uses it",
            "the administrator says what becomes of it (ces_reused_uids), and applies the role"
            " container_storage",
            "container_storage",
        )


def tell_owner(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether what should be the user's own is."""
    for kept, place in _each(found, policy):
        if kept.own and place.there and place.owner != found.uid and not place.refused:
            yield Told(
                "fault",
                f"{kept.words} {place.path} belongs to uid {place.owner}, not to {found.user}:"
                f" {kept.breaks}",
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
    for kept, place in _each(found, policy):
        if not kept.room or place.refused:
            continue
        if place.free < _LITTLE:
            yield Told(
                "fault" if place.free < _NOTHING else "warning",
                f"{kept.words} {place.path} has {spell_bytes(place.free)} left: an image will"
                " not fit",
                _ROOM,
            )
        if place.files is not None and place.files < _FILES_LITTLE:
            yield Told(
                "warning",
                f"the file system of {kept.words} {place.path} can have {place.files} more files:"
                " an image has tens of thousands",
                _ROOM,
            )


def tell_temporary(found: Places, policy: Policy) -> Iterator[Told]:
    """Whether the directories for pulls are there."""
    for kept, place in _each(found, policy):
        if kept.passing and not place.there:
            yield Told(
                "fault",
                f"{kept.words} {place.path} does not exist: {kept.breaks}",
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
    Look("disks", "the disks are mounted", tell_disks),
    Look("shared_disks", "the images for all users are there", tell_shared),
    Look("storage_file_system", "no storage lies on a network file system", tell_network),
    Look("storage_overlay", "engines can put layers over each other", tell_overlay),
    Look("storage_flags", "programs of images may be started", tell_flags),
    Look("writable", "the user can write where containers need it", tell_written),
    Look("made_for", "the user's directories were made for the user", tell_anothers),
    Look("owner", "the user's directories are the user's own", tell_owner),
    Look("home", "there is a home, and room in it", tell_home),
    Look("room", "there is room for images", tell_room),
    Look("temporary", "the directories for pulls are there", tell_temporary),
)
"""In the order in which causes come before their effects. A new check is a new row."""
