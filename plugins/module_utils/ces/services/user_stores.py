# SPDX-License-Identifier: GPL-3.0-or-later
"""What users had below a root of a role's, when they leave or their uid goes to somebody else.

Wants root. Homes, project data and what lies elsewhere are not touched.
"""

from __future__ import annotations

import os
import pwd
import time

from ..blocks import suppress
from ..dataclass import dataclass
from ..errors import CesError
from ..system import trees
from ..system.files import explained
from ..system.host.mounts import detach_fuse
from ..system.host.people import account
from ..system.owners import former_owner, former_uids, note_owner, owner_of
from ..system.proc import owner_of as process_owner
from ..system.proc import parents
from ..system.process import Process, Streams
from ..system.signals import signal
from ..system.subids import KINDS, SubidHost
from ..typed import Sequence
from ..values.command import Command
from ..values.subids import SubidTable, line_of

KEPT = "kept"
"""Below the root, for root alone: directories that were kept apart."""
_LINGERING = "/var/lib/systemd/linger"
_LOCKS = "/dev/shm/libpod_rootless_lock_{}"  # noqa: S108  podman's own choice
_TO_END, _BETWEEN_LOOKS = 5.0, 0.05
"""Seconds that processes have to be gone, and between two looks."""
_TO_STOP = 20.0
"""Seconds that sessions have to end by themselves."""
_NOBODYS = (1 << 32) - 3
"""A uid that no account has. The two above it mean something, to the kernel and to file servers."""


@dataclass(frozen=True)
class Store:
    """One user's directories below the root.

    :param owner: for whom they were made; ``user``: whose the uid is now, '' for nobody.
    """

    root: str
    uid: int
    owner: str
    user: str = ""

    @property
    def path(self) -> str:
        return f"{self.root}/{self.uid}"

    @property
    def apart(self) -> str:
        """Where it is kept apart: a name that is not taken yet."""
        base = f"{self.root}/{KEPT}/{self.owner}-{self.uid}"
        names = (base, *(f"{base}.{number}" for number in range(2, 1000)))
        return next(name for name in names if not os.path.lexists(name))


@dataclass(frozen=True)
class Settled:
    """What became of a store, or would.

    :param kept: where it is now, '' where it is gone or given.
    """

    owner: str
    uid: int
    path: str
    became: str
    kept: str = ""


def of_others(root: str, users: Sequence[str], role: str) -> list[Store]:
    """The stores of users' uids that were made for others."""
    known = [one for one in map(account, users) if one is not None]
    found = [(one, former_owner(root, one.pw_uid, one.pw_name, role)) for one in known]
    return [Store(root, one.pw_uid, owner, one.pw_name) for one, owner in found if owner]


def of_leavers(root: str, names: Sequence[str]) -> list[Store]:
    """The stores of users who leave, with an account or without."""
    found: dict[int, Store] = {}
    for name in names:
        user = account(name)
        # the uid of today counts unless the directory was made for somebody else
        uid = user.pw_uid if user is not None else None
        if uid and owner_of(root, uid) in ("", name) and os.path.isdir(f"{root}/{uid}"):
            found[uid] = Store(root, uid, name)
        found |= {one: Store(root, one, name) for one in former_uids(root, name)}
    return list(found.values())


def settle(stores: Sequence[Store], becomes: str, process: Process) -> list[Settled]:
    """Make it so.

    :param becomes: ``give`` to who has the uid now, ``remove``, or ``keep_apart`` for root.
    :raises CesError: processes of the user do not end, or the disk refuses it.
    """
    done = []
    for store in stores:
        if becomes != "give":
            end_processes(store.uid, process)
            detach_fuse(store.root, str(store.uid))
        done.append(planned(store, becomes))
        with explained(f"{becomes} {store.path}"):
            _settle(store, becomes, done[-1].kept)
    return done


def _is_there(path: str) -> bool:
    """Whether a path is there.

    :raises CesError: that cannot be known, as where a user's dead file system is mounted.
    """
    with explained(f"look at {path}"):
        try:
            os.lstat(path)
        except FileNotFoundError:
            return False
    return True


def planned(store: Store, becomes: str) -> Settled:
    """What :func:`settle` would do."""
    apart = becomes == "keep_apart" and _is_there(store.path)
    return Settled(store.owner, store.uid, store.path, becomes, store.apart if apart else "")


def _settle(store: Store, becomes: str, kept: str) -> None:
    if kept:
        os.makedirs(os.path.dirname(kept), mode=0o700, exist_ok=True)
        os.rename(store.path, kept)
    elif becomes == "remove":
        trees.remove(store.path)
        if _is_there(store.path):
            raise CesError(
                f"remove {store.path}",
                said="something in it cannot be removed",
                hint="see what is mounted there (findmnt), and run this again",
            )
    if becomes != "give":
        # anybody may make something of that name there
        trees.remove(_LOCKS.format(store.uid))
    if account(store.owner) is None:
        with suppress(FileNotFoundError):
            os.unlink(f"{_LINGERING}/{store.owner}")
    if becomes == "give":
        pass_on_ids(store.owner, store.user, SubidHost())
    # the role makes its directory and writes the name of who has the uid now
    note_owner(store.root, store.uid, store.user if becomes == "give" else "")


def pass_on_ids(owner: str, user: str, host: SubidHost) -> None:
    """Give a user the subordinate ids that files of a store belong to, in place of the user's own.

    :param owner: who had them; where that is still an account it keeps them.
    :raises CesError: the tables cannot be read, locked or written.
    """
    if account(owner) is not None:
        return
    with host.locked():
        for kind in KINDS:
            table = SubidTable.parse(host.read(kind))
            lines = table.by_owner()
            edits: dict[int, str | None] = {one.number: None for one in lines.get(user, ())}
            edits |= {one.number: line_of(user, one.ids) for one in lines.get(owner, ())}
            if owner in lines:
                host.write(kind, str(table.edited(edits)))


@dataclass(frozen=True)
class Presence:
    """What users who leave still have of a session on this host.

    :param lingering: files by which systemd keeps sessions for them.
    :param uids: theirs, under which something runs.
    """

    lingering: Sequence[str] = ()
    uids: Sequence[int] = ()

    def end(self, process: Process) -> None:
        """End it.

        :raises CesError: some processes do not end.
        """
        for file in self.lingering:
            os.unlink(file)
        for uid in self.uids:
            end_processes(uid, process)


def presence(names: Sequence[str], stores: Sequence[Store]) -> Presence:
    """What is there of them. Somebody else may have the uid of a store by now."""
    files = (f"{_LINGERING}/{name}" for name in names)
    users = {one.pw_uid for one in map(account, names) if one is not None}
    orphans = {store.uid for store in stores if _name_of(store.uid) is None}
    return Presence(
        [file for file in files if os.path.exists(file)],
        [
            one
            for one in sorted(users | orphans)
            if running(one) or os.path.isdir(f"/run/user/{one}")
        ],
    )


def running(uid: int) -> list[int]:
    """The processes of a user, without those that have ended and whose parents do not ask."""
    return [pid for pid in parents() if uid and process_owner(pid) == uid]


def end_processes(uid: int, process: Process) -> None:
    """End the sessions of a user, and all containers and processes besides.

    :raises CesError: some of them do not end, or we are below one of them.
    """
    pids = running(uid)
    if not pids and not os.path.isdir(f"/run/user/{uid}"):
        _kill_all_of(uid)
        return
    if above() & set(pids):
        raise CesError(
            f"end the processes of uid {uid}",
            said="this task runs below one of them",
            hint="connect to the host as another user",
        )
    stopped = _stop_sessions(uid, process)
    end = time.monotonic() + _TO_END
    while pids := running(uid):
        if time.monotonic() > end:
            raise CesError(
                f"end the processes of uid {uid}",
                said=f"{', '.join(map(str, pids[:5]))} do not end",
                hint="restart the host, and run this again",
            )
        _kill_all_of(uid)
        time.sleep(_BETWEEN_LOOKS)
    # those with subordinate ids, in namespaces that the user made
    _kill_all_of(uid)
    if not stopped:
        _stop_sessions(uid, process)


def _stop_sessions(uid: int, process: Process) -> bool:
    """Let systemd end them; whether it has. A user can hold it up for minutes."""
    if not os.path.isdir("/run/systemd/system"):
        return True
    # with the directory goes what engines noted of containers that ran
    # and with the slice the sessions that people logged in to
    services = (f"user@{uid}.service", f"user-runtime-dir@{uid}.service")
    stop = ("systemctl", "stop", *services, f"user-{uid}.slice")
    return not process.run(Command(stop), Streams(timeout=_TO_STOP)).stopped_by


def _kill_all_of(uid: int) -> None:
    """Kill all that a user may kill, at once: also what makes processes faster than we look.

    The user could stop a process of theirs before it does so, and we would wait for it. For that
    its real or its saved uid would have to be theirs; to kill theirs, the effective one is enough.
    """
    if uid <= 0:
        return
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            os.setresuid(_NOBODYS, uid, _NOBODYS)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)
    os.waitpid(child, 0)


def above() -> set[int]:
    """The processes that we descend from."""
    found, parent, of = set[int](), os.getpid(), parents()
    while parent and parent not in found:
        found.add(parent)
        parent = of.get(parent, 0)
    return found


def _name_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
