# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that we start, by posix_spawn(3): each leads a session of its own.

``subprocess`` would do it too. It takes 5 ms of every command to load, and a quarter of its memory.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from ..blocks import contextmanager, suppress
from ..typed import Iterable, Iterator, Mapping, Sequence
from .files import write_all
from .proc import listens
from .signals import SUSPEND_SIGNALS, signal

_BETWEEN_LOOKS = 0.01
_AS_USUAL = (signal.SIGPIPE, signal.SIGXFSZ, *SUSPEND_SIGNALS)
"""Signals that Python or we ignore, and that do to other programs what they usually do."""

LEFT_OPEN: set[int] = set()
"""Of our descriptors, those that programs get, too: a session lasts as long as they do."""


class Child:
    """A program that runs, or has run.

    :param stdin: our end of the pipe to its standard input; -1 if it has none. Likewise ``stdout``
        and ``stderr``.
    """

    def __init__(self, pid: int, stdin: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status if it has ended, -N if signal N ended it."""
        if self.returncode is None:
            self._reap(os.WNOHANG)
        return self.returncode

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end; False if it still runs after so many seconds."""
        if seconds is None:
            while self.returncode is None:
                self._reap(0)
            return True
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() >= end:
                return False
            time.sleep(_BETWEEN_LOOKS)
        return True

    def signal_group(self, number: int) -> None:
        """Send a signal to all of its process group, while it runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def pass_on(self, number: int) -> None:
        """Send a signal to it alone, if it waits for that: else the signal would end it."""
        if self.poll() is None and listens(self.pid, number):
            os.kill(self.pid, number)

    def tell(self, text: str) -> None:
        """Write its standard input and close that; it need not read."""
        with suppress(BrokenPipeError):
            write_all(self.stdin, text.encode("utf-8", "surrogateescape"))
        os.close(self.stdin)
        self.stdin = -1

    def close(self) -> None:
        """Close our ends of its pipes."""
        _close((self.stdin, self.stdout, self.stderr))
        self.stdin = self.stdout = self.stderr = -1

    def _reap(self, flags: int) -> None:
        pid, status = os.waitpid(self.pid, flags)
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)


def start(
    argv: Sequence[str],
    environ: Mapping[str, str],
    told: bool = False,
    heard: bool = True,
    directory: str = "",
) -> Child:
    """Start a program; of our descriptors it gets its standard ones and those of ``LEFT_OPEN``.

    :param told: it has a pipe for its standard input; else that is empty.
    :param heard: it has pipes for its outputs; else nobody reads them.
    :param directory: where it starts; else where we are.
    :raises OSError: it cannot be started; FileNotFoundError: it is not there.
    """
    program = _found(argv[0], environ.get("PATH", os.defpath))
    _keep_ours()
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        # Our caller ignored SIGCHLD and we inherited it: the kernel would forget how a child ended.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ours, theirs = {0: -1, 1: -1, 2: -1}, {}
    try:
        if told:
            theirs[0], ours[0] = _pipe()
        if heard:
            for number in (1, 2):
                ours[number], theirs[number] = _pipe()
        with _in_directory(directory):
            pid = os.posix_spawn(
                program,
                tuple(argv),
                environ,
                file_actions=_actions(theirs),
                setsid=True,
                setsigdef=_AS_USUAL,
            )
    except BaseException:
        _close(ours.values())
        raise
    finally:
        _close(theirs.values())
    return Child(pid, ours[0], ours[1], ours[2])


@contextmanager
def _in_directory(directory: str) -> Iterator[None]:
    """Be in another directory: posix_spawn has no word for that."""
    if not directory:
        yield
        return
    here = -1
    # who may not be in this directory (another user's, after su) cannot come back to it either
    with suppress(OSError):
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(directory)
        yield
    finally:
        if here >= 0:
            os.fchdir(here)
            os.close(here)


def _found(name: str, path: str) -> str:
    """Where a program is, by the PATH that it will have itself."""
    if "/" in name:
        return name
    for directory in path.split(":"):
        file = os.path.abspath(f"{directory}/{name}" if directory else name)
        if os.access(file, os.X_OK) and not os.path.isdir(file):
            return file
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _keep_ours() -> None:
    """Close to programs what we got ourselves: a lock that they held would outlive us."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in LEFT_OPEN:
            with suppress(OSError):  # the descriptor of this listing
                os.set_inheritable(int(name), False)


def _pipe() -> tuple[int, int]:
    """A pipe to read and to write, whose numbers are no standard ones: ours may be closed."""
    reading, writing = os.pipe()
    return _above_standard(reading), _above_standard(writing)


def _above_standard(descriptor: int) -> int:
    if descriptor > 2:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


def _actions(
    theirs: Mapping[int, int],
) -> list[tuple[int, int, int] | tuple[int, int, str, int, int]]:
    """What becomes of the standard descriptors: an end of a pipe, or nothing."""
    return [
        (
            (os.POSIX_SPAWN_DUP2, theirs[number], number)
            if number in theirs
            else (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0)
        )
        for number in (0, 1, 2)
    ]


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)
