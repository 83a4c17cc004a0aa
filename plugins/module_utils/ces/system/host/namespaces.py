# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether ordinary users of this host can make namespaces, map ids, and mount images."""

from __future__ import annotations

import os
import stat
import tempfile

from ...errors import CesError
from ...values.command import Command
from ..process import Process
from ..trees import remove

_NOBODY = 65534
_MAPPERS = {"newuidmap": ("cap_setuid", 7), "newgidmap": ("cap_setgid", 6)}
"""The programs that map subordinate ids, the capability that each one needs, and its number."""


def overlay_said(process: Process, directory: str) -> str:
    """Mount an overlay in a directory as an ordinary user; what the kernel said, or ''.

    Wants root. The directory is as it was afterwards.
    """
    return _overlay_said(process, directory, _NOBODY)


def own_overlay_said(process: Process, directory: str) -> str:
    """The same as the user that we are, who may write there."""
    return _overlay_said(process, directory, None)


def _overlay_said(process: Process, directory: str, uid: int | None) -> str:
    """Mount an overlay as that user, or as ourselves."""
    try:
        work = tempfile.mkdtemp(prefix=".tre-ces-overlay-", dir=directory)
    except OSError as error:  # read-only, or a file server to which root is nobody
        return str(error)
    try:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{work}/{name}")
            if uid is not None:
                os.chown(f"{work}/{name}", uid, uid)
        if uid is not None:
            os.chown(work, uid, uid)
        layers = f"lowerdir={work}/lower,upperdir={work}/upper,workdir={work}/work"
        namespace = ("unshare", "--user", "--map-root-user", "--mount")
        mount = ("mount", "-t", "overlay", "overlay", "-o", f"userxattr,{layers}", f"{work}/merged")
        said = _said if uid is None else _said_to_nobody
        return said(process, *namespace, *mount, tried="an overlay")
    finally:
        # the kernel makes a directory there that nobody may enter; and it is that user's, who may
        # have put links there meanwhile
        remove(work)


def _said_to_nobody(process: Process, *argv: str, tried: str) -> str:
    """Run a command as the user nobody; what it said if it failed, or ''."""
    nobody = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
    return _said(process, *nobody, *argv, tried=tried)


def _said(process: Process, *argv: str, tried: str) -> str:
    """Run a command; what it said if it failed, or ''."""
    try:
        done = process.run(Command(argv))
    except CesError as error:
        return f"{tried} could not be tried: {error}"
    return "" if done.ok else done.stderr.strip() or f"status {done.rc}"


def id_mapper_faults(directory: str = "/usr/bin") -> list[str]:
    """What is wrong with newuidmap and newgidmap, a sentence each."""
    return [said for said in (_mapper_fault(directory, name) for name in _MAPPERS) if said]


def _mapper_fault(directory: str, name: str) -> str:
    file = f"{directory}/{name}"
    capability, number = _MAPPERS[name]
    if not os.path.exists(file):
        return f"{file} is missing"
    if os.statvfs(file).f_flag & os.ST_NOSUID:
        return f"{file} lies on a filesystem mounted nosuid"
    status = os.stat(file)
    if status.st_uid != 0:
        return f"{file} does not belong to root"
    if not status.st_mode & stat.S_ISUID and not _has_capability(file, number):
        return f"{file} is neither setuid root nor has {capability}"
    return ""


def _has_capability(file: str, number: int) -> bool:
    """Whether the file's permitted and effective capabilities include it (capabilities(7))."""
    try:
        value = os.getxattr(file, "security.capability")
    except OSError:
        return False
    return bool(value[0] & 1 and int.from_bytes(value[4:8], "little") >> number & 1)


def fuse_said(device: str = "/dev/fuse") -> str:
    """What is wrong with the device through which users mount images, or ''."""
    try:
        mode = os.stat(device).st_mode
    except FileNotFoundError:
        return f"{device} is missing"
    if not stat.S_ISCHR(mode):
        return f"{device} is not a device"
    return "" if mode & 0o006 == 0o006 else f"{device} has mode {stat.S_IMODE(mode):04o}"
