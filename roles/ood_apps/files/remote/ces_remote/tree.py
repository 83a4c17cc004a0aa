# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory as a stream of tar, and back; the same on both sides of the connection.

Names and contents are whatever a container left: nothing is reached through a link, neither when
reading nor when writing, and only files and directories travel. The standard library alone: this
file is also sent to the back-end (far.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import IO, Callable, NamedTuple, Optional

from ces_remote.new_file import TEMPORARY, new_file

CHUNK = 1 << 20
DEEP = 200
"""Levels of directories that travel: each takes a descriptor, and Python calls itself for each."""


class Entry(NamedTuple):
    """Something below a directory: ``name`` is relative to it; ``parent`` and ``leaf`` open it."""

    name: str
    status: os.stat_result
    parent: int
    leaf: str


class Size(NamedTuple):
    """How much there is below a directory."""

    size: int
    files: int


Wanted = Callable[[Entry], bool]


def walk(root: str, closed: Callable[[OSError], object] = lambda error: None) -> Iterator[Entry]:
    """All files and directories below ``root``, which must itself be no link.

    :param closed: called for each directory that cannot be read, or lies too deep to be.
    """
    for path, directories, files, descriptor in os.fwalk(root, onerror=closed):
        above = os.path.relpath(path, root)
        for leaf in sorted(directories) + sorted(files):
            try:
                status = os.stat(leaf, dir_fd=descriptor, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                yield Entry(os.path.normpath(f"{above}/{leaf}"), status, descriptor, leaf)
        if above.count("/") >= DEEP:
            for leaf in directories:
                closed(OSError(errno.ENAMETOOLONG, "it lies too deep", f"{path}/{leaf}"))
            directories.clear()


def everything(entry: Entry) -> bool:
    """For :func:`pack`: no exception."""
    return True


def measure(root: str, wanted: Wanted = everything) -> Size:
    """What a :func:`pack` would hold."""
    found = [e.status for e in walk(root) if stat.S_ISREG(e.status.st_mode) and wanted(e)]
    return Size(sum(status.st_size for status in found), len(found))


def pack(tar: tarfile.TarFile, root: str, prefix: str, wanted: Wanted = everything) -> int:
    """Add the files below ``root`` as ``prefix/NAME``, and its directories.

    :returns: how many files and directories could not be read.
    """
    closed: list[OSError] = []
    for entry in walk(root, closed.append):
        name = f"{prefix}/{entry.name}"
        if stat.S_ISDIR(entry.status.st_mode):
            tar.addfile(_header(name, entry.status, tarfile.DIRTYPE))
        elif wanted(entry):
            try:
                add_file(tar, name, entry.leaf, entry.parent)
            except PermissionError as error:
                closed.append(error)
    return len(closed)


def add_file(
    tar: tarfile.TarFile, name: str, path: str, parent: int | None = None, last: int = 0
) -> None:
    """Add one file, unless it is a link or gone; of a longer one the ``last`` bytes.

    :raises PermissionError: it cannot be read.
    """
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, dir_fd=parent)
    except PermissionError:
        raise
    except OSError:
        return
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return
        header = _header(name, status, tarfile.REGTYPE)
        header.size = status.st_size
        if 0 < last < status.st_size:
            header.size = last
            stream.seek(status.st_size - last)
        # it has read(), and tarfile calls nothing else
        tar.addfile(header, _Exactly(stream))  # type: ignore[arg-type]


class _Exactly:
    """A file that is as long as it was: one that is cut meanwhile is filled up."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return self._stream.read(size).ljust(size, b"\0")


def _header(name: str, status: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type = kind
    header.mode = stat.S_IMODE(status.st_mode) & 0o777
    header.mtime = int(status.st_mtime)
    return header


def writing(stream: IO[bytes]) -> tarfile.TarFile:
    """A tar to write into a pipe; names may be any bytes."""
    return tarfile.open(
        fileobj=stream,
        mode="w|",
        format=tarfile.GNU_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    )


def reading(stream: IO[bytes]) -> tarfile.TarFile:
    """A tar to read from a pipe."""
    return tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape")


Where = Callable[[str, list[str]], Optional[str]]
"""From a member's prefix and the parts of its name to the directory below which it belongs."""


def unpack(
    tar: tarfile.TarFile, where: Where, notes: dict[str, Callable[[bytes], None]] | None = None
) -> list[str]:
    """Write each ``PREFIX/NAME`` below the directory that ``where`` says, each file in one step.

    :param notes: who gets the small members of these names, which are no files.
    :returns: the names that were refused: links, devices, names that lead elsewhere, those for
        which there is no directory, and those whose place is taken by something else.
    """
    refused = []
    for member in tar:
        if notes and member.name in notes and member.isreg() and member.size <= CHUNK:
            source = tar.extractfile(member)
            notes[member.name](source.read() if source else b"")
            continue
        prefix, _slash, rest = member.name.partition("/")
        parts = rest.split("/")
        plain = member.isreg() or member.isdir()
        safe = not any(part in ("", ".", "..") for part in parts)
        target = where(prefix, parts) if plain and safe else None
        if target is None or not _placed(tar, member, target, parts):
            refused.append(member.name)
    return refused


_TAKEN = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


def _placed(tar: tarfile.TarFile, member: tarfile.TarInfo, root: str, parts: list[str]) -> bool:
    try:
        _place(tar, member, root, parts)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        return False
    return True


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, root: str, parts: list[str]) -> None:
    directories = parts if member.isdir() else parts[:-1]
    descriptor = _open_directory(root, None)
    try:
        for name in directories:
            below = _enter(descriptor, name)
            os.close(descriptor)
            descriptor = below
        if member.isdir():
            os.fchmod(descriptor, member.mode & 0o777 | 0o700)
        else:
            _write(tar, member, descriptor, parts[-1])
    finally:
        os.close(descriptor)


def _open_directory(name: str, parent: int | None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, dir_fd=parent)


def _enter(parent: int, name: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    return _open_directory(name, parent)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
    source = tar.extractfile(member)
    assert source is not None
    temporary, descriptor = new_file(parent, member.mode & 0o777 | 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            while True:
                chunk = source.read(CHUNK)
                if not chunk:
                    break
                stream.write(chunk)
        os.utime(temporary, (member.mtime, member.mtime), dir_fd=parent)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        os.unlink(temporary, dir_fd=parent)
        raise


def remove_temporary(root: str) -> None:
    """What a copy that was killed left below ``root``."""
    for entry in walk(root):
        if entry.leaf.startswith(TEMPORARY) and stat.S_ISREG(entry.status.st_mode):
            os.unlink(entry.leaf, dir_fd=entry.parent)
