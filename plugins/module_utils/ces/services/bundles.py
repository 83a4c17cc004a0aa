# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: an unpacked image made ready for one container, without a copy of its files."""

from __future__ import annotations

import json
import os
import shutil
import stat

from ..errors import CesError, NotFound
from ..runners import oci, seccomp
from ..runners.command import Launch
from ..system.account import Account
from ..system.files import explained, read_json
from ..typed import Any
from ..values.bundle import Ground, ImageConfig, Owner

_KERNELS_OWN = ("proc", "sys", "dev")
_TEMPORARY = ("/tmp", "/var/tmp", "/run")  # noqa: S108  in the container
_SMALL = 1024 * 1024
"""Bytes; what is larger and lies in an image's own root cannot be written in a container."""


def bundle_for_run(
    launch: Launch, image: ImageConfig, rootfs: str, room: str, account: Account
) -> str:
    """Put a container's root together in a room of its own; returns the text of config.json.

    :param rootfs: the image's files, which stay as they are.
    :param room: a directory that goes when the container has gone.
    """
    writable = not oci.read_only(launch.options)
    with explained("put the container's root together"):
        ground = lay_out(launch, rootfs, room, writable)
    owner = Owner(account.uid, os.getegid())
    return json.dumps(oci.config(launch, image, ground, owner, _seccomp()), ensure_ascii=False)


def lay_out(launch: Launch, rootfs: str, room: str, writable: bool) -> Ground:
    """Make the places of the image's own directories, and of those that are mounted.

    :param writable: with directories that take what the container writes.
    """
    root = f"{room}/root"
    os.mkdir(root, 0o755)
    os.chmod(root, 0o755)  # noqa: S103  whatever the umask: the container may have another user
    targets = {mount.target for mount in launch.mounts}
    directories, files = [], []
    for entry in sorted(os.scandir(rootfs), key=lambda entry: entry.name):
        if entry.name in _KERNELS_OWN or f"/{entry.name}" in targets:
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), f"{root}/{entry.name}")
        elif entry.is_dir():
            directories.append(entry.name)
        elif entry.is_file():
            if writable and entry.stat().st_size <= _SMALL:
                shutil.copy(entry.path, f"{root}/{entry.name}")
            else:
                files.append(entry.name)
    if writable:
        _make_layers(rootfs, room, directories)
    return Ground(
        rootfs=rootfs,
        root=root,
        directories=tuple(directories),
        files=tuple(files),
        layers=room if writable else None,
        etc=_names(launch, rootfs, room, writable),
        temporary=() if writable else _temporary(rootfs),
    )


def _make_layers(rootfs: str, room: str, directories: list[str]) -> None:
    for part in ("upper", "work"):
        os.mkdir(f"{room}/{part}", 0o700)
        for name in directories:
            os.mkdir(f"{room}/{part}/{name}", 0o700)
    for name in directories:
        # the container sees the layer's mode, not that of what is below it
        os.chmod(f"{room}/upper/{name}", stat.S_IMODE(os.stat(f"{rootfs}/{name}").st_mode))


def _temporary(rootfs: str) -> tuple[str, ...]:
    return tuple(path for path in _TEMPORARY if _is_really(rootfs, path, stat.S_ISDIR))


def _names(launch: Launch, rootfs: str, room: str, writable: bool) -> tuple[tuple[str, str], ...]:
    """How names of hosts are looked up: as here, where the network is this host's."""
    if launch.network == "host":
        found = {name: os.path.realpath(f"/etc/{name}") for name in ("hosts", "resolv.conf")}
    else:
        found = {"hosts": f"{room}/hosts"}
        with open(found["hosts"], "w", encoding="utf-8") as stream:
            stream.write(f"127.0.0.1 localhost {launch.name}\n::1 localhost\n")
    return tuple(
        (name, path)
        for name, path in found.items()
        # a runtime would have to make it, and cannot in a root that is read-only
        if os.path.exists(path) and (writable or _is_really(rootfs, f"/etc/{name}", stat.S_ISREG))
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
