# SPDX-License-Identifier: GPL-3.0-or-later
"""What users run on this host, beside what a session brings by itself."""

from __future__ import annotations

import os

from ...shown import shown
from ...typed import Iterator, Mapping
from ..files import kernel_lines

_OF_SESSIONS = ("/init.scope", "/dbus.service", "/dbus-broker.service")
"""Ends of the cgroups of a user's systemd and its message bus (user@.service)."""
_PAUSE = "/podman-pause-"
"""Of podman's own process that keeps a user namespace."""


def running(proc: str = "/proc") -> Mapping[int, tuple[str, ...]]:
    """The names of what users run, by uid. What ends meanwhile is not told."""
    found: dict[int, set[str]] = {}
    for pid in filter(str.isdigit, os.listdir(proc)):
        for uid, name in _look(f"{proc}/{pid}"):
            found.setdefault(uid, set()).add(name)
    return {uid: tuple(sorted(names)) for uid, names in found.items()}


def _look(process: str) -> Iterator[tuple[int, str]]:
    try:
        facts = dict(line.partition(":")[::2] for line in kernel_lines(f"{process}/status"))
        cgroups = kernel_lines(f"{process}/cgroup")
    except OSError:
        return
    if facts["State"].strip().startswith(("Z", "X")) or any(map(_is_the_sessions_own, cgroups)):
        return
    yield int(facts["Uid"].split()[0]), shown(facts["Name"].strip())


def _is_the_sessions_own(cgroup: str) -> bool:
    """Whether it is one of those that a user's systemd has without being asked for anything."""
    path = cgroup.partition("/user@")[2]
    return bool(path) and (path.endswith(_OF_SESSIONS) or _PAUSE in path)
