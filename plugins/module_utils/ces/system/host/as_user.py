# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a user's files with the user's rights, with bounds in time, memory and what is written.

What a user wrote may be without end, wait for a writer, or lie on a file server that hangs; and
the user can stop a process that runs with their rights. Root gets an answer, or why there is none.
"""

from __future__ import annotations

import json
import os
import pwd
import resource
import select
import signal
import time
from collections.abc import Callable

from ...typed import Any

SECONDS = 20.0
_AFTER_KILL = 1.0
_ANSWER_MAX = 1024 * 1024
MEMORY = 1024 * 1024 * 1024
"""Bytes of address space: the module that we are a part of has some hundred millions of them."""
_FILE_MAX = 1024 * 1024
"""Bytes that may be written to a file: SQLite keeps an index beside a database."""


def look_as(user: pwd.struct_passwd, look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a function answers in a child that has become the user. Wants root, or to be that user.

    :returns: its answer, which a user may have made up; or ``unreadable``, why there is none.
    """
    return Looking(user, look).answer()


_LOADED: set[str] = set()
"""The packages that were loaded whole, by their names."""


class Looking:
    """A child that has become the user, and looks. Several may look at once.

    :param seconds: after which it is ended, from now on; ``SECONDS`` if not given.
    :param memory: bytes of address space that it may have, and programs that it starts, too;
        ``MEMORY`` if not given. Likewise ``largest``, bytes of a file that it writes.
    """

    def __init__(
        self,
        user: pwd.struct_passwd,
        look: Callable[[], dict[str, Any]],
        seconds: float | None = None,
        memory: int | None = None,
        largest: int | None = None,
    ) -> None:
        self._seconds = SECONDS if seconds is None else seconds
        self._end = time.monotonic() + self._seconds
        if os.geteuid() != user.pw_uid:
            _load_from_archive()
        self._reader, writer = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._reader)
            limits = {"AS": MEMORY if memory is None else memory, "CORE": 0}
            limits["FSIZE"] = _FILE_MAX if largest is None else largest
            _answer(user, look, writer, limits)
        os.close(writer)

    def answer(self) -> dict[str, Any]:
        """What it answered, which a user may have made up; or ``unreadable``, why there is none."""
        try:
            raw = _read(self._reader, self._end)
        finally:
            os.close(self._reader)
            # also one that the user has stopped
            os.kill(self._child, signal.SIGKILL)
            _reap(self._child)
        if raw is None:
            return {"unreadable": f"their files did not answer within {self._seconds:g} s"}
        try:
            answer = json.loads(raw)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict):
            return answer
        return {"unreadable": "the process that read them died"}


def _load_from_archive() -> None:
    """Load all of the core, if Ansible has packed it into an archive that is closed to the user.

    What a function imports as it is called would not be found there by the child.
    """
    package = __name__.rpartition(".system.")[0]
    if package in _LOADED or not hasattr(__spec__.loader, "archive"):
        return
    _LOADED.add(package)
    import importlib
    import pkgutil

    core = importlib.import_module(package)
    for found in pkgutil.walk_packages(core.__path__, f"{package}."):
        importlib.import_module(found.name)


def _reap(child: int) -> None:
    """Take note of its end; one that waits for a file system of the user's own may have none."""
    end = time.monotonic() + _AFTER_KILL
    while os.waitpid(child, os.WNOHANG) == (0, 0) and time.monotonic() < end:
        time.sleep(0.01)


def _read(reader: int, end: float) -> bytes | None:
    """All that is written to a pipe; None if it does not end in time, or within bounds."""
    raw = b""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    while len(raw) <= _ANSWER_MAX and poll.poll(max(0.0, end - time.monotonic()) * 1000):
        chunk = os.read(reader, 65536)
        if not chunk:
            return raw
        raw += chunk
    return None


def _answer(
    user: pwd.struct_passwd,
    look: Callable[[], dict[str, Any]],
    writer: int,
    limits: dict[str, int],
) -> None:
    """In the child: become the user, look, answer, end."""
    try:
        # whoever waits for the end of our outputs must not wait for this process
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        for kind, most in limits.items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (most, most))
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
