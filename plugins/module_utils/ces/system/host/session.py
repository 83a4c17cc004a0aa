# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's session on this host: its directory, its bus, what it may limit, what it is told."""

from __future__ import annotations

import os
import resource

from ...dataclass import dataclass
from ..account import ON_DEMAND, Account, steers_engines
from ..cgroup import ROOT, Limiting, controllers_in, limiting_for

_SHARED_MEMORY = "/dev/shm"  # noqa: S108  podman's own choice
_CONFIGURING = ("CONTAINERS_CONF", "CONTAINERS_REGISTRIES_CONF", "CONTAINERS_STORAGE_CONF")


@dataclass(frozen=True)
class Session:
    """One user's.

    :param runtime: the runtime directory, or '' where there is none.
    :param named: what ``XDG_RUNTIME_DIR`` says.
    :param bus: whether the session's message bus is there.
    :param lingers: whether systemd keeps the session when nobody is logged in.
    :param on_demand: whether one is made where a run needs one.
    :param systemd: whether this host runs systemd, which makes sessions.
    :param limiting: what containers of the user can be limited by.
    :param offered: the controllers of cgroup v2 that this host has.
    :param in_job: we are in a Slurm job.
    :param steering: variables by which the user changes what engines do.
    :param files: how many open files a process may have, or -1; ``processes``: likewise.
    :param locks: the file of podman's locks; ``locks_of``: the uid it belongs to, or -1 for none.
    """

    user: str
    uid: int
    runtime: str
    named: str
    bus: bool
    lingers: bool
    systemd: bool
    limiting: Limiting
    in_job: bool
    offered: frozenset[str] = frozenset()
    steering: tuple[str, ...] = ()
    files: int = -1
    processes: int = -1
    locks: str = ""
    locks_of: int = -1
    on_demand: bool = False


def look_at_session(account: Account, root: str = "") -> Session:
    """Find it out.

    :param root: of the host, for tests.
    """
    environ = account.environ
    runtime = account.runtime_base_if_any
    locks = f"{root}{_SHARED_MEMORY}/libpod_rootless_lock_{account.uid}"
    return Session(
        user=account.name,
        uid=account.uid,
        runtime=runtime,
        named=environ.get("XDG_RUNTIME_DIR", ""),
        bus=bool(runtime) and os.path.exists(f"{runtime}/bus"),
        lingers=os.path.exists(f"{root}/var/lib/systemd/linger/{account.name}"),
        systemd=os.path.isdir(f"{root}/run/systemd/system"),
        limiting=_limiting(account, root),
        in_job=account.in_job,
        offered=frozenset(controllers_in(f"{root}{ROOT}/cgroup.controllers") or ()),
        steering=tuple(
            sorted(name for name in environ if steers_engines(name) or name in _CONFIGURING)
        ),
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        processes=resource.getrlimit(resource.RLIMIT_NPROC)[0],
        locks=locks,
        locks_of=_owner_of(locks),
        on_demand=os.path.exists(f"{root}{ON_DEMAND}"),
    )


def _owner_of(path: str) -> int:
    try:
        return os.lstat(path).st_uid
    except OSError:
        return -1


def _limiting(account: Account, root: str) -> Limiting:
    if account.in_job:
        from ..allocation import Allocation

        return Allocation.of(account.environ).limiting
    return limiting_for(account.uid, f"{root}{ROOT}")
