# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role finds on a host before it changes anything there. Wants root."""

from __future__ import annotations

import os
import pwd

from ...dataclass import dataclass, field
from ...typed import Iterator, Mapping, Sequence
from ...values.containers_conf import breaking
from ...values.subids import SubidTable
from ..account import OWN_STORAGE
from ..containers_conf import settings_of, system_files
from ..disks import lost_disks, unmounted
from ..owners import former_owner, former_uids
from ..process import Process
from ..subids import KINDS, NOTES, SubidHost
from .logind import outdated_logind
from .monitors import running_containers
from .mounts import Mount, mount_of, nearest_directory
from .namespaces import fuse_said, overlay_said
from .people import account, account_of, homeless
from .site_files import demanded_signatures, storage_settings

USERS_PLACE = "storage.rootless_storage_path"
"""The setting of storage.conf."""


@dataclass(frozen=True)
class Ground:
    """One host.

    :param role: that asks, for the names of its variables.
    :param unknown: users that it named and that have no account.
    :param kept_out: why users cannot have containers here, by name; ``homeless``: who has no home
        directory yet.
    :param reused: whose uid was somebody else's: the user's name, the uid, and the other's name.
    :param handed: whose subordinate ids were somebody else's: the name, the ids, the other's name.
    :param moved: who had other uids before: the user's name, and that uid.
    :param root: the directory below which it is to keep what users have, or ''.
    :param lost: whether the disk that the role has marked is not there.
    :param unmounted: directories of images for all users whose file system is not there, with its
        mount point.
    :param mount: the file system that holds that, or would hold it.
    :param refused: types of file systems on which the site wants none of it.
    :param overlay: why an ordinary user cannot mount an overlay there, or ''.
    :param fuse: what is wrong with ``/dev/fuse``, or ''.
    :param storage: what the site's storage.conf says, by section and key, as texts of TOML.
    :param stranded: containers that run where podman would not look any more: the user's name, that
        storage, and the container's name.
    :param signed: images of which the site's policy.json demands a signature.
    :param broken: settings of the site's containers.conf that break what a run promises.
    :param logind: the version of systemd-logind that runs, if the host has another one by now.
    """

    role: str
    unknown: tuple[str, ...] = ()
    kept_out: Mapping[str, str] = field(default_factory=dict)
    homeless: tuple[str, ...] = ()
    reused: tuple[tuple[str, int, str], ...] = ()
    handed: tuple[tuple[str, str, str], ...] = ()
    moved: tuple[tuple[str, int], ...] = ()
    root: str = ""
    lost: bool = False
    unmounted: Mapping[str, str] = field(default_factory=dict)
    mount: Mount = Mount("/", "unknown", ())
    refused: tuple[str, ...] = ()
    overlay: str = ""
    fuse: str = ""
    storage: Mapping[str, str] | None = None
    stranded: tuple[tuple[str, str, str], ...] = ()
    signed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    logind: str = ""


def look_at_ground(
    role: str,
    users: Sequence[str],
    root: str,
    refused: Sequence[str],
    process: Process | None = None,
    kept_out: Mapping[str, str] | None = None,
) -> Ground:
    """Find it out. The host is as it was afterwards.

    :param process: by which an overlay is tried; None to leave that.
    :param kept_out: why users cannot have containers here, by name; None if nobody asked.
    """
    broken = breaking(settings_of(system_files()))
    known = [one for one in map(account, users) if one is not None] if root else []
    storage = storage_settings()
    return Ground(
        role=role,
        unknown=tuple(name for name in users if account(name) is None),
        kept_out=kept_out or {},
        homeless=tuple(name for name in users if name not in (kept_out or {}) and homeless(name)),
        reused=tuple(_reused(root, known, role)),
        handed=tuple(dict.fromkeys(_handed(known, SubidHost(noted=f"{root}/{NOTES}")))),
        moved=tuple(
            (one.pw_name, uid)
            for one in known
            for uid in former_uids(root, one.pw_name, one.pw_uid)
        ),
        root=root,
        lost=root in lost_disks(),
        unmounted=unmounted(),
        mount=mount_of(root or "/"),
        refused=tuple(refused),
        overlay=overlay_said(process, nearest_directory(root)) if root and process else "",
        fuse=fuse_said(),
        storage=storage,
        stranded=tuple(_stranded(root)) if _users_move(role, root, storage) else (),
        signed=tuple(demanded_signatures()),
        broken=tuple(str(setting) for setting in broken),
        logind=outdated_logind(),
    )


def _users_move(role: str, root: str, storage: Mapping[str, str]) -> bool:
    """Whether podman is about to look for users' containers in another place than until now."""
    return role == "container_storage" and storage.get(USERS_PLACE) != users_place(root)


def users_place(root: str) -> str:
    """Where users' storage is to be, as storage.conf has it."""
    return f'"{root}/$UID/storage"'


def _stranded(root: str) -> Iterator[tuple[str, str, str]]:
    """Every user's, for the file is everybody's; not of users whose own file stands before it."""
    for uid, storage, name in running_containers():
        user = account_of(uid)
        stays = uid == 0 or storage == f"{root}/{uid}/storage"
        if not stays and not (user and os.path.exists(f"{user.pw_dir}/{OWN_STORAGE}")):
            yield user.pw_name if user else str(uid), storage, name


def _reused(
    root: str, users: Sequence[pwd.struct_passwd], role: str
) -> Iterator[tuple[str, int, str]]:
    for user in users:
        owner = former_owner(root, user.pw_uid, user.pw_name, role)
        # what is only noted, nobody could read
        if owner and os.path.isdir(f"{root}/{user.pw_uid}"):
            yield user.pw_name, user.pw_uid, owner


def _handed(users: Sequence[pwd.struct_passwd], host: SubidHost) -> Iterator[tuple[str, str, str]]:
    history = host.history()
    # hosts that take the ids from elsewhere have no such notes
    for kind in KINDS if history.noted else ():
        table = SubidTable.parse(host.read(kind))
        owned = table.by_owner()
        lines = {
            one.pw_name: [*owned.get(one.pw_name, ()), *owned.get(str(one.pw_uid), ())]
            for one in users
        }
        for one in host.handed_on(history, kind, table, lines):
            yield one.user, str(one.entry.ids), one.owner
