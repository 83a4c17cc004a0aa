# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of this host: accounts, sessions that last, and directories of their own."""

from __future__ import annotations

import os
import pwd
import stat
from functools import lru_cache

from ...typed import Any
from ..files import kernel_lines

NOTED = "/var/lib/tre-ces/lingering"
"""The role podman has a file here for each user whose session lasts because it asked for that."""
_LISTENS = "00010000"
"""Among the kernel's flags of a socket: it waits for connections."""


def account(name: str) -> pwd.struct_passwd | None:
    """The account of a name, from wherever the name service has it."""
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
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
    """Whether systemd keeps a session for the user, and somebody listens at its message bus.

    The socket's file outlives a session that was stopped.
    """
    kept = os.path.exists(f"{root}/var/lib/systemd/linger/{user.pw_name}")
    return kept and f"/run/user/{user.pw_uid}/bus" in _listened_at(f"{root}/proc/net/unix")


@lru_cache(maxsize=1)
def _listened_at(table: str) -> frozenset[str]:
    """The paths of sockets at which somebody listens; one look for all users (unix(7))."""
    found = []
    for line in kernel_lines(table):
        fields, slash, path = line.partition(" /")
        if slash and fields.split(" ")[3] == _LISTENS:
            found.append(f"/{path}")
    return frozenset(found)


def is_private(directory: str, user: pwd.struct_passwd) -> bool:
    """Whether it is a directory, no link to one, that only this user may enter."""
    try:
        status = os.lstat(directory)
    except OSError:
        return False
    right = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o700
    return right and (status.st_uid, status.st_gid) == (user.pw_uid, user.pw_gid)
