# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel of this host allows: its settings, and where they are set."""

from __future__ import annotations

import glob
import os
import re

from ...dataclass import dataclass
from ..cgroup import ROOT, controllers_in
from ..files import read_if_there

NAMESPACES = (
    "user.max_user_namespaces",
    "user.max_net_namespaces",
    "kernel.unprivileged_userns_clone",
)
"""The settings that keep users from namespaces; the last one is Debian's own."""

_APPARMOR = "kernel.apparmor_restrict_unprivileged_userns"
"""Ubuntu's setting, since 23.10: only programs with an AppArmor profile make user namespaces."""

_DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")


def sysctl(name: str, root: str = "") -> int | None:
    """A setting of the kernel; None where this kernel has no such setting.

    :param root: of the host, for tests.
    """
    text = read_if_there(f"{root}/proc/sys/{name.replace('.', '/')}").strip()
    return int(text) if text.lstrip("-").isdigit() else None


def configured_in(name: str, root: str = "") -> list[str]:
    """The files of sysctl in which an administrator, or a package, gives a setting its value."""
    setting = re.compile(rf"^\s*-?{re.escape(name)}\s*=", re.MULTILINE)
    files = [f"{root}/etc/sysctl.conf"]
    for directory in _DIRECTORIES:
        files += sorted(glob.glob(f"{root}{directory}/*.conf"))
    return [file for file in files if os.path.isfile(file) and setting.search(read_if_there(file))]


def apparmor_restricts(root: str = "") -> bool:
    """Whether only programs with an AppArmor profile may make user namespaces."""
    return sysctl(_APPARMOR, root) == 1


def apparmor_profiles(root: str = "") -> list[str]:
    """The names of the AppArmor profiles on this host."""
    return sorted(os.path.basename(file) for file in glob.glob(f"{root}/etc/apparmor.d/*"))


@dataclass(frozen=True)
class Cgroups:
    """The cgroups of a host.

    :param version: ``v1``, ``v2`` or ``hybrid``.
    :param controllers: of version 2 where it is alone.
    """

    version: str
    controllers: tuple[str, ...] = ()


def cgroups(root: str = ROOT) -> Cgroups:
    """Which version is mounted."""
    there = controllers_in(f"{root}/cgroup.controllers")
    if there is not None:
        return Cgroups("v2", there)
    return Cgroups("hybrid" if os.path.isdir(f"{root}/unified") else "v1")
