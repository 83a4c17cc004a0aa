# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of this host: accounts, sessions that last, and directories of their own."""

from __future__ import annotations

import grp
import os
import pwd
import stat

from ...typed import Any, Sequence

NOTED = "/var/lib/tre-ces/lingering"
"""The role podman has a file here for each user whose session lasts because it asked for that."""
_CGROUPS = tuple(
    f"/sys/fs/cgroup{hierarchy}/user.slice/user-{{0}}.slice/user@{{0}}.service"
    for hierarchy in ("", "/unified", "/systemd")
)
"""Where the cgroup of a user's systemd is: v2, hybrid, v1."""


def account(name: str) -> pwd.struct_passwd | None:
    """The account of a name, from wherever the name service has it."""
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None


def account_of(uid: int) -> pwd.struct_passwd | None:
    """The account of a number."""
    try:
        return pwd.getpwuid(uid)
    except (KeyError, OverflowError):
        return None


def homeless(name: str) -> bool:
    """Whether a user's home directory is not there, as where the first login makes it.

    One that we cannot see, on a file server for example, may be there.
    """
    user = account(name)
    try:
        return user is not None and not stat.S_ISDIR(os.stat(user.pw_dir).st_mode)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def person(user: pwd.struct_passwd, directories: list[str]) -> dict[str, Any]:
    """What roles need to know of a user.

    :param directories: that the user should own, 0700; ``{uid}`` stands for the user's number.
    """
    own = [directory.replace("{uid}", str(user.pw_uid)) for directory in directories]
    return {
        "name": user.pw_name,
        "uid": user.pw_uid,
        "gid": user.pw_gid,
        "home": user.pw_dir,
        "session": os.path.isdir(f"/run/user/{user.pw_uid}"),
        "lingers": lingers(user),
        "lingering_noted": os.path.exists(f"{NOTED}/{user.pw_name}"),
        "directories_wrong": [directory for directory in own if not is_private(directory, user)],
    }


def lingers(user: pwd.struct_passwd, root: str = "") -> bool:
    """Whether systemd keeps a session for the user, which runs and has a message bus.

    The bus's socket is a file that outlives a session that was stopped. The kernel's table of
    sockets does not say either: a name in it is whatever anybody calls a socket, line feeds and
    all. The cgroup of the user's systemd is there while that runs, and only root can make it.
    """
    kept = os.path.exists(f"{root}/var/lib/systemd/linger/{user.pw_name}")
    runs = any(os.path.isdir(root + place.format(user.pw_uid)) for place in _CGROUPS)
    # in a directory of the user's: a link there is not followed
    return kept and runs and os.path.lexists(f"{root}/run/user/{user.pw_uid}/bus")


def is_private(directory: str, user: pwd.struct_passwd) -> bool:
    """Whether it is a directory, no link to one, that only this user may enter."""
    try:
        status = os.lstat(directory)
    except OSError:
        return False
    right = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o700
    return right and (status.st_uid, status.st_gid) == (user.pw_uid, user.pw_gid)


def first_member(users: Sequence[str], groups: Sequence[str]) -> str:
    """The first of these users who is in one of the groups; '' if none is. Without groups all are.

    :raises KeyError: there is no such user.
    """
    return next((name for name in users if not groups or _is_in(name, groups)), "")


def _is_in(user: str, groups: Sequence[str]) -> bool:
    numbers = os.getgrouplist(user, pwd.getpwnam(user).pw_gid)
    return any(_group_named(number) in groups for number in numbers)


def _group_named(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
