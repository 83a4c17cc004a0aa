# SPDX-License-Identifier: GPL-3.0-or-later
"""What users have that contradicts where the site stores their containers.

What belongs to a user is read with that user's rights: root may not be able to (NFS with
root-squash), and must not follow what a user put there.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
from collections.abc import Callable

from ...typed import Any
from .podman_databases import contradictions

_SECONDS = 20
"""For one user's files: a file server may hang, and a database may be without end."""

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
    return {**_NOTHING, **_as_user(user, lambda: _inspect(user, root))}


def _inspect(user: pwd.struct_passwd, root: str) -> dict[str, Any]:
    graph_root = f"{root}/{user.pw_uid}/storage"
    own = f"{user.pw_dir}/.config/containers/storage.conf"
    left = f"{user.pw_dir}/.local/share/containers/storage"
    return {
        "own_configuration": own if os.path.isfile(own) else "",
        "left_behind": left if os.path.isdir(left) and left != graph_root else "",
        "contradictions": list(contradictions(graph_root, user.pw_uid)),
    }


def _as_user(user: pwd.struct_passwd, look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Call a function in a child that has become the user; what the child answers."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _answer(user, look, writer)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        text = pipe.read()
    _child, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return {"unreadable": f"their files did not answer within {_SECONDS} s"}
    return json.loads(text) if text else {"unreadable": "the process that read them died"}


def _answer(user: pwd.struct_passwd, look: Callable[[], dict[str, Any]], writer: int) -> None:
    """In the child: become the user, look, answer, end. An alarm ends a child that hangs."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_SECONDS)
        if os.geteuid() == 0:
            os.initgroups(user.pw_name, user.pw_gid)
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        try:
            answer = look()
        except OSError as error:
            answer = {"unreadable": str(error)}
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            json.dump(answer, pipe)
    finally:
        os._exit(0)
