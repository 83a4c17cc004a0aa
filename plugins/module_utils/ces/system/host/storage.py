# SPDX-License-Identifier: GPL-3.0-or-later
"""What users have that contradicts where the site stores their containers.

What belongs to a user is read with that user's rights: root may not be able to (NFS with
root-squash), and must not follow what a user put there.
"""

from __future__ import annotations

import os
import pwd

from ...typed import Any
from .as_user import look_as
from .podman_databases import contradictions

_NOTHING: dict[str, Any] = {
    "unreadable": "",
    "own_configuration": "",
    "left_behind": "",
    "contradictions": [],
}


def look_at_storage(user: pwd.struct_passwd, root: str) -> dict[str, Any]:
    """Look at one user's files. Wants root, or to be that user.

    :param root: the directory that holds all users' storage, each below its uid.
    :returns: ``own_configuration`` and ``left_behind`` (paths, or ''), ``contradictions``
        (sentences), ``unreadable`` (why nothing could be looked at, or '').
    """
    found = look_as(user, lambda: _inspect(user, root))
    # the user may have answered
    return {
        name: found[name] if isinstance(found.get(name), type(nothing)) else nothing
        for name, nothing in _NOTHING.items()
    }


def _inspect(user: pwd.struct_passwd, root: str) -> dict[str, Any]:
    graph_root = f"{root}/{user.pw_uid}/storage"
    own = f"{user.pw_dir}/.config/containers/storage.conf"
    left = f"{user.pw_dir}/.local/share/containers/storage"
    return {
        "own_configuration": own if os.path.isfile(own) else "",
        "left_behind": left if os.path.isdir(left) and left != graph_root else "",
        "contradictions": list(contradictions(graph_root, user.pw_uid)),
    }
