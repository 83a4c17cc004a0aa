# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a user's files with the user's rights, with bounds in time, memory and what is written.

What a user wrote may be without end, wait for a writer, or lie on a file server that hangs; and
the user can stop a process that runs with their rights. Root gets an answer, or why there is none.

Nothing stays behind: a child ends with us, however we end, and ends the programs that it runs. What
a user's programs leave besides, root ends: see left_by_users.py.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import resource
import select
import signal
import time
from collections.abc import Callable, Iterable

from ...errors import Interrupted
from ...typed import TYPE_CHECKING, Any
from ..proc import kill_session, parents
from ..signals import StopSignals
from .left_by_users import adopt_what_users_leave, end_what_users_left

if TYPE_CHECKING:
    from .packed import Packed

_TO_END = 3.0
"""Seconds that children have to end the programs that they run, before they are killed."""
_AFTER_KILL = 1.0
_ANSWER_MAX = 1024 * 1024
MEMORY = 1024 * 1024 * 1024
"""Bytes of address space for a child that starts no program: the module that we are a part of has
some hundred millions of them."""
_FILE_MAX = 1024 * 1024
"""Bytes that may be written to a file: SQLite keeps an index beside a database."""


class Looking:
    """A child that has become the user, and looks. Several may look at once.

    Whoever begins some calls :func:`end_all` in the end.

    :param seconds: after which it is ended, from now on.
    :param memory: bytes of address space that it may have, and programs that it starts, too.
    :param largest: bytes of a file that it may write; None for little.
    """

    def __init__(
        self,
        user: pwd.struct_passwd,
        look: Callable[[], dict[str, Any]],
        seconds: float,
        memory: int,
        largest: int | None = None,
    ) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + self._seconds
        if os.geteuid() == 0:
            adopt_what_users_leave()
        packed = _archive_of_ours() if os.geteuid() != user.pw_uid else None
        life, ours = _life()
        self._reader, writer = os.pipe()
        self._child, self._there = os.fork(), True
        if self._child == 0:
            os.close(ours)
            os.close(self._reader)
            limits = {"AS": memory, "CORE": 0}
            limits["FSIZE"] = _FILE_MAX if largest is None else largest
            if packed is not None:
                packed.load_before_others()
            _answer(user, look, writer, life, limits)
        os.close(writer)

    def answer(self, signals: StopSignals | None = None) -> dict[str, Any]:
        """What it answered, which a user may have made up; or ``unreadable``, why there is none.

        :param signals: a noted stop signal ends the wait.
        :raises Interrupted: it did.
        """
        raw = _read(self._reader, self._end, signals)
        if raw is None:
            self.tell_to_end()
            return {"unreadable": f"their files did not answer within {self._seconds:g} s"}
        self.end()
        try:
            answer = json.loads(raw)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict):
            return answer
        return {"unreadable": "the process that read them died"}

    def tell_to_end(self) -> None:
        """Have it end the programs that it runs, and itself."""
        if self._there:
            os.kill(self._child, signal.SIGTERM)

    def end(self, until: float = 0.0) -> None:
        """See to its end; a second time there is nothing to do.

        :param until: when it is killed, by the monotonic clock, also if the user has stopped it.
        """
        if not self._there:
            return
        self._there = False
        os.close(self._reader)
        if not _has_ended(self._child, until):
            os.kill(self._child, signal.SIGKILL)
            # one that waits for a file system of the user's own may have no end
            _has_ended(self._child, time.monotonic() + _AFTER_KILL)


_packed: list[Packed] = []


def _archive_of_ours() -> Packed | None:
    """Where another user's child finds our modules; None where the files are open to all."""
    path = getattr(__spec__.loader, "archive", "")
    if path and not _packed:
        from .packed import Packed

        _packed.append(Packed(path))
    return _packed[0] if _packed else None


def end_all(lookings: Iterable[Looking]) -> None:
    """End those that still look, and what users' programs have left."""
    for looking in lookings:
        looking.tell_to_end()
    until = time.monotonic() + _TO_END
    for looking in lookings:
        looking.end(until)
    if os.geteuid() == 0:
        end_what_users_left()


_pipe: list[int] = []


def _life() -> tuple[int, int]:
    """A pipe that nobody writes: its reader hears when we, who alone hold the other end, end."""
    if not _pipe:
        _pipe.extend(os.pipe())
    return _pipe[0], _pipe[1]


def _has_ended(child: int, until: float) -> bool:
    """Whether it ends by then; note is taken of that."""
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() >= until:
            return False
        time.sleep(0.01)
    return True


def _read(reader: int, end: float, signals: StopSignals | None) -> bytes | None:
    """All that is written to a pipe; None if it does not end in time, or within bounds."""
    raw = b""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    if signals is not None:
        poll.register(signals.wakeup, select.POLLIN)
    while len(raw) <= _ANSWER_MAX:
        ready = [found for found, _event in poll.poll(max(0.0, end - time.monotonic()) * 1000)]
        if signals is not None and signals.received:
            raise Interrupted("look at a user's things", signals.received)
        if signals is not None and signals.wakeup in ready:
            signals.drain()
        if reader in ready:
            chunk = os.read(reader, 65536)
            if not chunk:
                return raw
            raw += chunk
        elif not ready:
            return None
    return None


class _Ended(BaseException):
    """We are told to end: what we run is ended on the way."""


_TELL_TO_END = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)


def _end_with_who_asked(life: int) -> None:
    """Be told to end when the process that forked us has ended, however that was (fcntl(2))."""

    def ended(_number: int, _frame: object) -> None:
        # what ends our programs is not to be ended itself; they would inherit what is ignored
        for number in _TELL_TO_END:
            signal.signal(number, lambda _number, _frame: None)
        raise _Ended

    signal.set_wakeup_fd(-1)
    for number in _TELL_TO_END:
        signal.signal(number, ended)
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGTERM)
    fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    poll = select.poll()
    poll.register(life, select.POLLIN)
    if poll.poll(0):
        raise _Ended  # before we could be told


def _answer(
    user: pwd.struct_passwd,
    look: Callable[[], dict[str, Any]],
    writer: int,
    life: int,
    limits: dict[str, int],
) -> None:
    """In the child: become the user, look, answer, end."""
    try:
        # the terminal of whoever asks is not the user's
        os.setsid()
        # one of our own: of several that share one, the kernel tells a single process
        life = os.open(f"/proc/self/fd/{life}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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
        _end_with_who_asked(life)
        try:
            answer = look()
        except OSError as error:
            answer = {"unreadable": str(error)}
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            json.dump(answer, pipe)
    except _Ended:
        # one that had just been started when we were told
        for pid, parent in parents().items():
            if parent == os.getpid():
                kill_session(pid)
    finally:
        os._exit(0)
