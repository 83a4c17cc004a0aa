# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host lets an ordinary user isolate: namespaces, ids, mounts, cgroups."""

from __future__ import annotations

from ...dataclass import dataclass
from ...errors import CesError
from ...typed import Mapping
from ...values.command import Command
from ..files import read_if_there
from ..process import Process
from .kernel import (
    NAMESPACES,
    apparmor_profiles,
    apparmor_restricts,
    cgroups,
    configured_in,
    sysctl,
)
from .mounts import mounts
from .namespaces import fuse_said, id_mapper_faults

_TRIAL = (
    "unshare",
    "--user",
    "--map-root-user",
    "--net",
    "--pid",
    "--fork",
    "--mount-proc",
    "true",
)


@dataclass(frozen=True)
class Isolation:
    """One host, as one user has it.

    :param settings: of the kernel, by the names in ``NAMESPACES``; None where there is none.
    :param files: of sysctl in which each of them is set.
    :param restricted: AppArmor lets only programs with a profile make user namespaces.
    :param profiles: the names of AppArmor's profiles.
    :param refused: why the user could not make namespaces with a ``/proc`` of their own, or ''.
    :param mappers: what is wrong with newuidmap and newgidmap, a sentence each.
    :param fuse: what is wrong with ``/dev/fuse``, or ''.
    :param cgroups: which version, ``v1``, ``v2`` or ``hybrid``.
    :param controllers: that version 2 has.
    :param hidden: how ``/proc`` hides the processes of others, ``invisible`` say, or ''.
    :param keys: how many of the kernel's keys the user has, and may have; 0 where that is unknown.
    """

    settings: Mapping[str, int | None]
    files: Mapping[str, tuple[str, ...]]
    restricted: bool
    profiles: tuple[str, ...]
    refused: str
    mappers: tuple[str, ...]
    fuse: str
    cgroups: str
    controllers: tuple[str, ...] = ()
    hidden: str = ""
    keys: tuple[int, int] = (0, 0)


def look_at_isolation(uid: int, process: Process, root: str = "") -> Isolation:
    """Find it out, as the user.

    :param root: of the host, for tests.
    """
    restricted, version = apparmor_restricts(root), cgroups(f"{root}/sys/fs/cgroup")
    return Isolation(
        settings={name: sysctl(name, root) for name in NAMESPACES},
        files={name: tuple(configured_in(name, root)) for name in NAMESPACES},
        restricted=restricted,
        profiles=tuple(apparmor_profiles(root)),
        # AppArmor would refuse unshare, and not the engines
        refused="" if restricted else _refused(process),
        mappers=tuple(id_mapper_faults(f"{root}/usr/bin")),
        fuse=fuse_said(f"{root}/dev/fuse"),
        cgroups=version.version,
        controllers=version.controllers,
        hidden=hidden_processes(f"{root}/proc/self/mountinfo"),
        keys=_keys(uid, root),
    )


def _refused(process: Process) -> str:
    """What the kernel said to the same namespaces that engines make."""
    try:
        done = process.run(Command(_TRIAL))
    except CesError:
        # without unshare(1) nobody knows; the engines do not need it
        return ""
    return "" if done.ok else done.stderr.strip() or f"unshare ended with {done.rc}"


def hidden_processes(table: str) -> str:
    """The option ``hidepid`` of /proc where it hides something (proc(5)); '' where it does not."""
    found = ""
    for mount in mounts(table):
        if mount.point == "/proc":
            options = dict(word.partition("=")[::2] for word in mount.settings)
            found = options.get("hidepid", "")
    return "" if found in ("0", "off") else found


def _keys(uid: int, root: str) -> tuple[int, int]:
    """From /proc/key-users (keyrings(7)): ``UID: usage nkeys/nikeys qnkeys/maxkeys ...``."""
    for line in read_if_there(f"{root}/proc/key-users").splitlines():
        number, _colon, rest = line.partition(":")
        if number.strip() == str(uid) and len(rest.split()) > 2:
            used, _slash, most = rest.split()[2].partition("/")
            return int(used), int(most)
    return 0, 0
