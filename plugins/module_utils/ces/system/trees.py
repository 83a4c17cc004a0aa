# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that somebody else filled, or may change while we are at them.

We open a directory once and work below it by descriptors: no link leads us out of it, whoever
makes it and whenever. A tree may be as deep as it likes.
"""

from __future__ import annotations

import errno
import os
import stat

from ..blocks import contextmanager, suppress
from ..errors import CesError
from ..typed import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEP = 64
"""Levels below which a directory is moved up before we empty it: each level takes a descriptor."""


@contextmanager
def opened(name: str, at: int | None = None) -> Iterator[int]:
    """A directory, which is no link; closed when the block ends.

    :param at: the directory that it is in, if ``name`` is no path.
    """
    descriptor = os.open(name, _DIRECTORY, dir_fd=at)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_below(top: str, path: str, most: int, at: int | None = None) -> bytes:
    """Bytes of an ordinary file below a directory; no link on the way is followed.

    :param most: how many bytes at most.
    :raises OSError: it cannot be read, or is no ordinary file.
    """
    name, _slash, rest = path.partition("/")
    with opened(top, at) as place:
        if rest:
            return read_below(name, rest, most, place)
        # whose type is not known yet: a FIFO must not hold us up
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=place)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.ENXIO, "it is no ordinary file", name)
            return os.read(descriptor, most)
        finally:
            os.close(descriptor)


def path_of(descriptor: int) -> str:
    """A path by which other programs reach what we have open, whatever its name becomes."""
    return f"/proc/{os.getpid()}/fd/{descriptor}"


@contextmanager
def new_directory(name: str, at: int | None = None) -> Iterator[int]:
    """Make a directory for us alone, and open it.

    :raises CesError: who may write above it has put another one in its place.
    """
    os.mkdir(name, 0o700, dir_fd=at)
    with opened(name, at) as descriptor:
        status = os.fstat(descriptor)
        ours = status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o777 == 0o700
        if not ours or os.listdir(descriptor):
            raise CesError(
                f"make the directory {name}",
                said="somebody put another one in its place",
                hint="tell the administrator who may write there",
            )
        yield descriptor


def make_below(top: str, path: str) -> None:
    """Make a directory, and those above it, in a directory that others may write.

    :param path: its names below ``top``; what is there already stays.
    :raises OSError: something else is in the way, a link for example.
    """
    at = os.open(top, _DIRECTORY)
    try:
        for name in path.split("/"):
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=at)
            below = os.open(name, _DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
    finally:
        os.close(at)


def only_ours(path: str) -> bool:
    """Whether nobody but this user and root can rename what we make in a directory.

    A directory with the sticky bit is safe too: there only its owner and ours may.
    """
    path = os.path.realpath(path)
    while True:
        status = os.stat(path)
        if status.st_uid not in (0, os.geteuid()):
            return False
        if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


def remove(name: str, at: int | None = None) -> None:
    """Remove a file, a link, or a directory with all in it; what others keep from us stays."""
    try:
        with _opened_up(name, at) as descriptor:
            while _empty(descriptor, descriptor, 0):
                pass
        os.rmdir(name, dir_fd=at)
    except NotADirectoryError:
        with suppress(OSError):
            os.unlink(name, dir_fd=at)
    except OSError:  # it is not ours, or not there
        pass


def _empty(directory: int, top: int, depth: int) -> bool:
    """Remove what is in a directory; True if something was moved up to the top of its tree."""
    moved = False
    for name in os.listdir(directory):
        try:
            os.unlink(name, dir_fd=directory)
            continue
        except IsADirectoryError:
            pass
        except OSError:
            continue
        try:
            os.rmdir(name, dir_fd=directory)  # most are empty
            continue
        except OSError:
            pass
        with suppress(OSError), _opened_up(name, directory) as below:
            if depth == _DEEP:
                os.rename(name, os.urandom(8).hex(), src_dir_fd=directory, dst_dir_fd=top)
                moved = True
            else:
                moved |= _empty(below, top, depth + 1)
                os.rmdir(name, dir_fd=directory)
    return moved


@contextmanager
def _opened_up(name: str, at: int | None) -> Iterator[int]:
    """Open a directory whose owner may have closed it to themselves: then it is opened up."""
    with _known(name, at) as known:
        status = os.fstat(known)
        if status.st_uid == os.geteuid() and status.st_mode & 0o700 != 0o700:
            # a descriptor that can only be looked at takes no fchmod
            os.chmod(f"/proc/self/fd/{known}", 0o700)
        with opened(".", known) as descriptor:
            yield descriptor


@contextmanager
def _known(name: str, at: int | None) -> Iterator[int]:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=at)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
