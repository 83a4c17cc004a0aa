# SPDX-License-Identifier: GPL-3.0-or-later
"""For whom the directories of users were made: a uid may be somebody else's by now.

Beside the directories ``ROOT/UID`` roles keep ``ROOT/owners/UID``, a link whose target is the name
of the user. Only root can change it, and it stays with the disk that the directories lie on.
"""

from __future__ import annotations

import os

from ..blocks import suppress
from ..errors import CesError
from .files import LIST_MAX, read_if_there

OWNERS = "owners"
_WRITTEN_BY_ROLES = "/etc/tmpfiles.d/tre-ces-{}.conf"
"""Earlier versions of the roles kept names there alone."""


def owner_of(root: str, uid: int) -> str:
    """The name for which a user's directories below a root were made; '' where none is noted."""
    with suppress(OSError):
        return os.readlink(f"{root}/{OWNERS}/{uid}")
    return ""


def former_owner(root: str, uid: int, name: str, role: str = "") -> str:
    """The other name for which the directories of that uid were made; '' where there is none.

    :param name: whose the uid is now.
    :param role: that made them, if what its earlier versions noted counts, too.
    """
    owner = owner_of(root, uid) or (_noted(root, uid, role) if role else "")
    return owner if owner != name else ""


def former_uids(root: str, name: str, uid: int | None = None) -> list[int]:
    """The uids under which a user has directories below a root, but for the one of today."""
    try:
        noted = [int(entry) for entry in os.listdir(f"{root}/{OWNERS}") if entry.isdigit()]
    except FileNotFoundError:
        return []
    return sorted(one for one in noted if one != uid and owner_of(root, one) == name)


def note_owner(root: str, uid: int, name: str) -> None:
    """From now on these directories are that user's; '' makes them nobody's."""
    path = f"{root}/{OWNERS}/{uid}"
    with suppress(FileNotFoundError):
        os.unlink(path)
    if name:
        os.makedirs(os.path.dirname(path), mode=0o711, exist_ok=True)
        os.symlink(name, path)


def refuse_other_owner(root: str, uid: int, name: str) -> None:
    """Refuse to use what was made for somebody else.

    :raises CesError: the directories of that uid were made for another user.
    """
    owner = owner_of(root, uid) if root else ""
    if owner not in ("", name):
        raise CesError(
            f"use the container storage of {name}",
            said=f"{root}/{uid} was made for {owner}, who had the uid {uid} before {name}: images,"
            f" containers and volumes there are {owner}'s",
            hint="the administrator says what becomes of it (ces_reused_uids), and applies the"
            " role container_storage",
        )


def _noted(root: str, uid: int, role: str) -> str:
    """The comment above the directory in the role's file (tmpfiles.d(5))."""
    above = ""
    file = _WRITTEN_BY_ROLES.format(role.replace("_", "-"))
    for line in read_if_there(file, LIST_MAX).splitlines():
        if line.startswith(f"d {root}/{uid} "):
            return above[2:] if above.startswith("# ") else ""
        above = line
    return ""
