# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: an unpacked image made ready for one container, without a copy of its files."""

from __future__ import annotations

import os
import stat

from ....dataclass import replace
from ....errors import CesError, NotFound
from ....json_text import dumps
from ....system.account import Account
from ....system.files import explained, read_json, write_new
from ....system.rootfs import PLACES, ids_in
from ....typed import Any
from ....values.bundle import Ground, ImageConfig, Owner
from ...command import Launch
from .. import config as bundle
from .. import seccomp
from ..command import chosen

_HOSTS = "hosts"
_KERNELS_OWN = ("/proc", "/sys", "/dev")
_OPENED = ("", "/home", "/var")
_TEMPORARY = ("/tmp", "/var/tmp", "/run")  # noqa: S108  in the container


def bundle_for_run(
    launch: Launch, image: ImageConfig, rootfs: str, room: str, account: Account
) -> str:
    """Put a container's root together in the run's own directory; returns the text of config.json.

    That directory is in memory: on a disk the mount points would take 5 ms to make and to remove.

    :param rootfs: the image's files, which stay as they are.
    :param room: a directory on a disk, for what the container writes.
    """
    layers = None if chosen(launch.options).read_only else room
    ground = survey(launch, image, rootfs, launch.private, layers)
    with explained("put the container's root together"):
        lay_out(ground, launch, launch.private)
    return dumps(configuration(launch, image, ground, account), ascii=False)


def configuration(
    launch: Launch, image: ImageConfig, ground: Ground, account: Account
) -> dict[str, Any]:
    """A bundle's configuration for this user, with the host's profile of system calls."""
    owner = Owner(account.uid, os.getegid())
    return bundle.config(launch, _as_user(launch, image, ground), ground, owner, _seccomp())


def _as_user(launch: Launch, image: ImageConfig, ground: Ground) -> ImageConfig:
    """What the image says, with the caller's user in place of its own.

    :raises CesError: there is none, and nobody knows the image's own.
    """
    wanted = chosen(launch.options)
    if wanted.user is None:
        image.check_user(f"run {launch.image}")
        return image
    ids = ids_in(ground.rootfs, wanted.user, wanted.workdir or image.cwd)
    uid, gid, home = ids or (image.uid, image.gid, image.home)
    return replace(image, uid=uid, gid=gid, home=home, unknown_user="")


def survey(
    launch: Launch, image: ImageConfig, rootfs: str, room: str, layers: str | None
) -> Ground:
    """What a container's root will be made of; changes nothing.

    :param room: the directory that the root will be in.
    :param layers: the directory for what the container writes; None for a read-only root.
    """
    hidden = {*_KERNELS_OWN, *(mount.target for mount in launch.mounts)}
    names: list[str] = []
    links: list[str] = []
    with explained(f"look at the image's files in {rootfs}"), os.scandir(rootfs) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if f"/{entry.name}" not in hidden:
                (links if entry.is_symlink() else names).append(entry.name)
    return Ground(
        rootfs=rootfs,
        root=f"{room}/root",
        names=tuple(names),
        links=tuple(links),
        layers=layers,
        etc=_names(launch, rootfs, room),
        temporary=_temporary(rootfs) if layers is None else (),
        volumes=_volumes(launch, image, rootfs) if layers is None or not _is_ours(rootfs) else (),
    )


def lay_out(ground: Ground, launch: Launch, room: str) -> None:
    """Make what a survey found, in a room that may get its name later.

    :param room: where the room is now.
    """
    root = f"{room}/root"
    os.mkdir(root, 0o755)
    os.chmod(root, 0o755)  # noqa: S103  whatever the umask: the container may have another user
    for name in ground.links:
        os.symlink(os.readlink(f"{ground.rootfs}/{name}"), f"{root}/{name}")
    _make_places(ground, launch, root)
    if ground.layers is not None:
        for part in ("upper", "work"):
            os.mkdir(f"{ground.layers}/{part}", 0o700)
        if not _is_ours(ground.rootfs):
            _open_up(ground.rootfs, f"{ground.layers}/upper")
    if launch.network == "none":
        text = f"127.0.0.1 localhost {launch.name}\n::1 localhost\n"
        write_new(f"{room}/{_HOSTS}", text, 0o644)


def _make_places(ground: Ground, launch: Launch, root: str) -> None:
    """Make what will be mounted on: of several crun that find nothing in one bundle, one fails."""
    targets = (*_KERNELS_OWN, *(mount.target for mount in launch.mounts))
    directories = {target[1:] for target in targets if target.count("/") == 1}
    for name in ground.names:
        if os.path.isdir(f"{ground.rootfs}/{name}"):
            directories.add(name)
        else:
            write_new(f"{root}/{name}", "")
    for name in directories:
        os.mkdir(f"{root}/{name}", 0o755)


def _is_ours(path: str) -> bool:
    return os.stat(path).st_uid == os.geteuid()


def _open_up(rootfs: str, upper: str) -> None:
    """Let new files be made in another user's image: in the directories that programs write to.

    A layer gets a copy of what is changed, owner included, and that owner is not in the container.
    """
    for above in _OPENED:
        if above and not _is_really(rootfs, above, stat.S_ISDIR):
            continue
        with os.scandir(f"{rootfs}{above}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    place = f"{above}/{entry.name}"
                    os.mkdir(f"{upper}{place}")
                    mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
                    os.chmod(f"{upper}{place}", 0o1777 if place in _TEMPORARY else mode)


def _temporary(rootfs: str) -> tuple[str, ...]:
    return tuple(path for path in _TEMPORARY if _is_really(rootfs, path, stat.S_ISDIR))


def _volumes(launch: Launch, image: ImageConfig, rootfs: str) -> tuple[str, ...]:
    """The image's volumes that would be read-only, but for what is mounted there anyway."""
    taken = (*_KERNELS_OWN, *(mount.target for mount in launch.mounts))
    return tuple(
        path
        for path in image.volumes
        if not any(f"{path}/".startswith(f"{place}/") for place in (*taken, *_TEMPORARY))
        and _is_really(rootfs, path, stat.S_ISDIR)
    )


def _names(launch: Launch, rootfs: str, room: str) -> tuple[tuple[str, str], ...]:
    """How names of hosts are looked up: as here, where the network is this host's."""
    if launch.network == "none":
        found = {"hosts": f"{room}/{_HOSTS}"}
    else:
        places = {name: os.path.realpath(f"/etc/{name}") for name in PLACES}
        found = {name: place for name, place in places.items() if os.path.exists(place)}
    return tuple(
        (name, place)
        for name, place in found.items()
        if _is_really(rootfs, f"/etc/{name}", stat.S_ISREG)
    )


def _is_really(rootfs: str, path: str, kind: Any) -> bool:
    """Whether an image has that, and no link on the way."""
    place = rootfs
    for part in path.strip("/").split("/"):
        place = f"{place}/{part}"
        if os.path.islink(place):
            return False
    return os.path.exists(place) and bool(kind(os.stat(place).st_mode))


def _seccomp() -> dict[str, Any] | None:
    try:
        profile = read_json(seccomp.PROFILE, "the profile of system calls")
        return seccomp.for_container(profile, os.uname().machine)
    except NotFound:  # as podman has it: without a profile there is no filter
        return None
    except (KeyError, TypeError, AttributeError) as error:
        raise CesError(
            f"read {seccomp.PROFILE}", said=f"it is of an unknown form ({error!r})"
        ) from None
