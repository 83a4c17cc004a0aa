# SPDX-License-Identifier: GPL-3.0-or-later
"""What this kernel lets a user limit (cgroups(7), systemd's delegation)."""

from __future__ import annotations

from ..dataclass import dataclass

ROOT = "/sys/fs/cgroup"
WANTED = ("cpu", "memory", "pids")
"""The controllers by which containers are limited."""


@dataclass(frozen=True)
class Limiting:
    """The cgroup controllers a user's containers have, and why others are missing."""

    controllers: frozenset[str]
    reason: str = ""


def limiting_for(uid: int, root: str = ROOT) -> Limiting:
    """What rootless containers of this user can be limited by on this host."""
    everywhere = controllers_in(f"{root}/cgroup.controllers")
    if everywhere is None:
        return Limiting(
            frozenset(), "this host has cgroup v1, under which rootless limits do not work"
        )
    if uid == 0:
        return Limiting(frozenset(everywhere))
    own = controllers_in(
        f"{root}/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
    )
    if own is None:
        return Limiting(
            frozenset(), "the user has no systemd session on this host (see loginctl enable-linger)"
        )
    if not {*WANTED} <= {*everywhere}:
        return Limiting(frozenset(own), "the cgroup v2 of this host has not all controllers")
    return Limiting(
        frozenset(own),
        "the cgroup controllers are not delegated to users on this host (see the role podman)",
    )


def oom_kills(uid: int, root: str = ROOT) -> int:
    """How many of this user's processes the kernel has killed for lack of memory since boot.

    The container's own count is gone with its cgroup; those above it include it and stay
    (cgroup-v2.rst, memory.events). 0 where there is no memory controller.
    """
    path = f"{root}/user.slice/user-{uid}.slice/user@{uid}.service/memory.events"
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            counts = dict(line.split() for line in stream)
    except OSError:
        return 0
    return int(counts.get("oom_kill", 0))


def controllers_in(path: str) -> tuple[str, ...] | None:
    """The controllers that a file names; None where there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return tuple(stream.read().split())
    except OSError:
        return None
