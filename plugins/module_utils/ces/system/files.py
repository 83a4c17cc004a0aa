# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and directories: private, atomic, locked."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

from ..blocks import contextmanager, suppress
from ..errors import Busy, CesError, Interrupted, InvalidValue, NotFound
from ..json_text import loads
from ..typed import Any, Callable, Iterator

TEXT_MAX = 1024 * 1024
"""Bytes; no option, argument or env file that a person writes is longer."""
LIST_MAX = 256 * 1024 * 1024
"""Bytes of lists of root's own, which have lines for each user: one that was cut would be none."""

_MOMENT = 2.0
"""Seconds within which whoever makes a file has locked it."""

_HINTS = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "your quota is used up: free some space",
    errno.EROFS: "the file system is read-only: tell the administrator",
    errno.EACCES: "check its owner and permissions",
    errno.EPERM: "check its owner and permissions",
    errno.ENXIO: "a FIFO, a socket or a device is there: remove it, or name another file",
}


@contextmanager
def explained(tried: str) -> Iterator[None]:
    """Turn an OSError into our error, with a hint for the usual ones."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(tried, said=_said(error, tried)) from error
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "")
        raise CesError(tried, said=_said(error, tried), hint=hint) from error


def _said(error: OSError, tried: str) -> str:
    words, file = str(error.strerror or error), error.filename
    return words if not file or str(file) in tried else f"{file}: {words}"


def private_directory(path: str) -> str:
    """Make a directory 0700 with its parents; one that is there must be ours, and becomes 0700."""
    with explained(f"make the directory {path}"):
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.stat(path)
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != 0o700:
            os.chmod(path, 0o700)
    if status.st_uid != os.geteuid():
        raise CesError(
            f"use the directory {path}",
            said=f"it belongs to uid {status.st_uid}, not to {os.geteuid()}",
        )
    return path


def write_atomic(path: str, text: str, mode: int = 0o600, durable: bool = True) -> None:
    """Replace a file's contents in one step; readers see the old text or the new, never a part.

    :param durable: wait until the disk has it (5 to 50 ms); not for what is soon written again.
    """
    temporary = f"{path}.{os.getpid()}.{time.monotonic_ns()}.tmp"
    with explained(f"write {path}"):
        try:
            write_new(temporary, text, mode, durable)
            os.replace(temporary, path)
        except BaseException:
            remove_quietly(temporary)
            raise


def unfinished(path: str) -> list[str]:
    """What writers that were killed in :func:`write_atomic` left, or living ones are just writing.

    Only whoever keeps others from writing the file may remove it.
    """
    directory, name = os.path.split(path)
    try:
        entries = os.listdir(directory)
    except OSError:
        return []
    return [
        f"{directory}/{entry}"
        for entry in entries
        if entry.startswith(f"{name}.") and entry.endswith(".tmp")
    ]


def remove_unfinished(path: str) -> None:
    """Remove what dead writers left of a file that nobody else may be writing."""
    for left in unfinished(path):
        remove_quietly(left)


def write_new(path: str, text: str, mode: int = 0o600, durable: bool = False) -> None:
    """Write a file that must not exist yet, with its mode from the start."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(
        descriptor, "w", encoding="utf-8", errors="surrogateescape", newline=""
    ) as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text)
        stream.flush()
        if durable:
            os.fsync(stream.fileno())


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it, however little a pipe takes at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def link_to(target: str, link: str, force: bool = False) -> None:
    """Make a symbolic link in one step; an older link gives way, another file only to ``force``."""
    if os.path.lexists(link) and not os.path.islink(link) and not force:
        raise CesError(
            f"make the link {link}",
            said="something is there that is no symbolic link",
            hint="choose another name",
        )
    temporary = f"{link}.{os.getpid()}.{time.monotonic_ns()}.tmp"
    with explained(f"make the link {link}"):
        try:
            os.symlink(target, temporary)
            os.replace(temporary, link)
        except BaseException:
            remove_quietly(temporary)
            raise


def regular(path: str, flags: int) -> int:
    """Open an ordinary file; the ``opener`` of every file that is not named by a person.

    To open a FIFO would wait for a writer, and Python goes on waiting when a signal comes.

    :raises OSError: it is no ordinary file, or cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.ENXIO, "it is no ordinary file", path)


def read_text(
    path: str,
    what: str,
    opener: Callable[[str, int], int] | None = None,
    most: int = TEXT_MAX,
) -> str:
    """Text of a file of at most 1 MiB. It may be a FIFO, unless the ``opener`` refuses that.

    :param most: bytes that it may have, where 1 MiB is not meant.
    :raises CesError: it cannot be read, is longer, or is not UTF-8.
    """
    with explained(f"read {what} {path}"), open(path, "rb", opener=opener) as stream:
        raw = stream.read(most + 1)
    if len(raw) > most:
        raise InvalidValue(what, path, f"it is longer than {most >> 20} MiB")
    try:
        # "utf-8-sig" would say the same, and takes a file of the standard library's to load
        return raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidValue(what, path, f"it is not UTF-8 at byte {error.start}") from None


def read_if_there(path: str, most: int = TEXT_MAX) -> str:
    """Text of a file that need not be there; so many characters of it at most."""
    try:
        with open(path, encoding="utf-8", errors="replace", opener=regular) as stream:
            return stream.read(most)
    except OSError:
        return ""


def kernel_lines(path: str) -> list[str]:
    """The lines of a table of the kernel's (proc(5)), without their ends.

    Users choose names in it: of mount points, cgroups, processes. The kernel ends a line with a
    line feed alone. Python would end one at a carriage return in a name, too.

    :raises OSError: it cannot be read.
    """
    with open(
        path, encoding="utf-8", errors="surrogateescape", newline="\n", opener=regular
    ) as stream:
        return [line.removesuffix("\n") for line in stream]


def read_json(path: str, what: str, most: int = TEXT_MAX) -> Any:
    """Parsed JSON of an ordinary file.

    :param most: bytes that it may have.
    :raises NotFound: there is no such file.
    :raises CesError: it is no JSON, naming line and column.
    """
    text = read_text(path, what, regular, most)
    try:
        return loads(text)
    except (ValueError, RecursionError) as error:
        raise CesError(
            f"read {what} {path}", said=str(error), hint="correct the file's JSON"
        ) from None


def may(path: str, what: str) -> bool:
    """Whether this user may read (``r``), write (``w``) or both."""
    return os.access(path, sum({"r": os.R_OK, "w": os.W_OK}[letter] for letter in what))


def remove_quietly(path: str) -> None:
    """Remove a file if it is there."""
    with suppress(OSError):
        os.unlink(path)


@contextmanager
def passing_file(directory: str, kind: str, text: str) -> Iterator[str]:
    """A private file (0600) that is there while in the block; yields its path.

    It is locked by its owner, so that :func:`remove_abandoned` can tell when that has died.
    """
    name = f"{kind}-{random_name()}"
    path, new = f"{directory}/{name}", f"{directory}/.{name}"
    try:
        with explained(f"write {path}"):
            write_new(new, text)
        with locked(new):
            # under its name it has been locked from the start
            os.rename(new, path)
            yield path
    finally:
        remove_quietly(path)
        remove_quietly(new)


def remove_abandoned(
    directory: str,
    kinds: tuple[str, ...],
    first: Callable[[str, str], None] = lambda path, text: None,
) -> None:
    """Remove the passing files of these kinds whose owner has died.

    :param first: called before that with the file's path and text.
    """
    prefixes = tuple(f"{kind}-" for kind in kinds)
    for name in os.listdir(directory):
        if name.lstrip(".").startswith(prefixes):
            with suppress(FileNotFoundError):
                _remove_if_abandoned(f"{directory}/{name}", name.startswith("."), first)


def _remove_if_abandoned(path: str, new: bool, first: Callable[[str, str], None]) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        # one that is new may not be locked by its owner yet
        young = new and time.time() - os.fstat(descriptor).st_mtime < _MOMENT
        if young or not try_lock(descriptor):
            return
        if not new:
            first(path, os.pread(descriptor, TEXT_MAX, 0).decode("utf-8", "surrogateescape"))
        os.unlink(path)
    finally:
        os.close(descriptor)


def random_name() -> str:
    """Sixteen hexadecimal digits that nobody can guess."""
    return os.urandom(8).hex()


def remove_tree(path: str, unshare: Callable[[str], object] | None = None) -> None:
    """Remove a directory with all in it, also what its owner made unwritable.

    :param unshare: called for what is left, because a container's subordinate ids own it.
    :raises CesError: something is left even so.
    """
    with suppress(OSError):
        os.rmdir(path)
        return
    # after most runs the directories are empty
    from .trees import remove

    remove(path)
    if os.path.lexists(path) and unshare is not None:
        unshare(path)
    if os.path.lexists(path):
        raise CesError(
            f"remove {path}", said="something in it could not be removed", hint="remove it by hand"
        )


@contextmanager
def locked(
    path: str,
    waiting: Callable[[str], object] | None = None,
    timeout: float | None = None,
    mode: int = 0o600,
    told_to_stop: Callable[[], str] | None = None,
) -> Iterator[int]:
    """Hold an exclusive lock on a file (made if missing) while in the block.

    :param mode: of the file that is made; one that several users lock must be theirs to write.
    :param waiting: called once when somebody else holds it, with who that is.
    :param timeout: seconds to wait; None waits for ever.
    :param told_to_stop: asked while waiting for the name of a signal that ends the wait.
    :raises Busy: the time is over.
    :raises Interrupted: a signal ended the wait.
    """
    with explained(f"lock {path}"):
        descriptor = _lock_file(path, mode)
    try:
        hold(descriptor, path, waiting, timeout, told_to_stop)
        yield descriptor
    finally:
        os.close(descriptor)


def hold(
    descriptor: int,
    path: str,
    waiting: Callable[[str], object] | None = None,
    timeout: float | None = None,
    told_to_stop: Callable[[], str] | None = None,
) -> None:
    """Lock a file or a directory that is open, as :func:`locked` does, until it is closed."""
    if not try_lock(descriptor):
        if waiting is not None:
            waiting(_holder(descriptor))
        _wait_for_lock(descriptor, path, timeout, told_to_stop)


def _lock_file(path: str, mode: int) -> int:
    """Open a lock's file, and make it first if it is missing.

    Only a file that we have just made gets its mode: in a directory that several users write, one
    that is there may be another file of ours that somebody moved.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(FileNotFoundError):
        return os.open(path, flags)
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return os.open(path, flags)
    os.fchmod(descriptor, mode)  # whatever the umask
    return descriptor


def _holder(descriptor: int) -> str:
    # most locks are free
    from .lock_holder import lock_holder

    return lock_holder(descriptor) or "somebody else"


def try_lock(descriptor: int) -> bool:
    """Take the lock if nobody holds it; the kernel gives it back when its holder dies."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for_lock(
    descriptor: int, path: str, timeout: float | None, told_to_stop: Callable[[], str] | None
) -> None:
    if timeout is None and told_to_stop is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    end = None if timeout is None else time.monotonic() + timeout
    while not try_lock(descriptor):
        told = told_to_stop() if told_to_stop else ""
        if told:
            raise Interrupted(f"lock {path}", told)
        if end is not None and time.monotonic() >= end:
            raise Busy(
                f"lock {path}",
                said=f"{_holder(descriptor)} held it for {timeout:g} s",
                hint="try again, or ask them to end it",
            )
        time.sleep(0.05)
