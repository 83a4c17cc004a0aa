# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shared by the portal's commands while they run: a private directory in memory, places in
the one connection, and the memory that a back-end does not answer."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ces.system.files import read_if_there, remove_quietly, try_lock

PLACES = 8
"""Commands at once; sshd allows 10 sessions in a connection unless its MaxSessions says more."""
DOWN_FOR = 15.0
"""Seconds for which a status query believes that a back-end still does not answer."""


class Runtime:
    """The directory of one back-end, 0700; empty where there is none that is ours alone."""

    def __init__(self, cluster: str) -> None:
        self.directory = private(cluster)

    @property
    def socket(self) -> str:
        """Where ssh's master listens; a socket's path may have 108 characters, and ssh adds 17."""
        path = f"{self.directory}/ssh"
        return path if self.directory and len(path) < 88 else ""

    @contextmanager
    def place(self, timeout: float, copying: bool = False) -> Iterator[bool]:
        """A place in the connection while in the block; False if there was none in time.

        :param copying: it may be for long, so that half of the places are for others.
        """
        end, most = time.monotonic() + timeout, PLACES // 2 if copying else PLACES
        descriptor = self._place(end, most) if self.directory else -1
        try:
            yield descriptor >= 0
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _place(self, end: float, most: int) -> int:
        while True:
            for number in reversed(range(most)):
                descriptor = open_lock(f"{self.directory}/place-{number}")
                if try_lock(descriptor):
                    return descriptor
                os.close(descriptor)
            if time.monotonic() > end:
                return -1
            time.sleep(0.02)

    def down(self) -> str:
        """What was said when the back-end did not answer, if that was just now."""
        path = f"{self.directory}/down"
        try:
            young = 0 <= time.time() - os.stat(path).st_mtime < DOWN_FOR
        except OSError:
            return ""
        return read_if_there(path) if young else ""

    def set_down(self, said: str) -> None:
        """Remember it; nothing said means that it answers."""
        if not self.directory:
            return
        path = f"{self.directory}/down"
        if not said:
            remove_quietly(path)
            return
        with suppress(OSError), open(path, "w", encoding="utf-8") as stream:
            stream.write(said)


def open_lock(path: str) -> int:
    """A file to lock, made if it is missing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def private(name: str) -> str:
    """A directory for sockets that nobody else can reach or has made; empty if there is none."""
    uid = os.getuid()
    for parent in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{uid}"):
        if parent and ours(parent):
            return made(f"{parent}/ces-remote", name)
    # the portal's processes belong to no login session
    return made(f"/tmp/ces-remote-{uid}", name)  # noqa: S108  checked to be ours


def made(directory: str, name: str) -> str:
    """Make both; whoever else may have made one is not trusted."""
    for path in (directory, f"{directory}/{name}"):
        with suppress(OSError):
            os.mkdir(path, 0o700)
        if not ours(path):
            return ""
    return f"{directory}/{name}"


def ours(path: str) -> bool:
    """Whether it is a directory of this user that nobody else can enter, and no link."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    right = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return right and stat.S_IMODE(status.st_mode) & 0o077 == 0
