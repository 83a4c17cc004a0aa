# SPDX-License-Identifier: GPL-3.0-or-later
"""An image's files in directories that lie over each other, as overlayfs would show them.

Nothing is mounted: podman's layers are in directories of the user's, most files in them the user's
own. What a layer hides of those below it is a device file 0:0 (overlayfs) or a file named
``.wh.NAME`` (fuse-overlayfs); a directory that hides all of it has an extended attribute or a file
``.wh..wh..opq``. https://docs.kernel.org/filesystems/overlayfs.html
"""

from __future__ import annotations

import os
import stat
import sys

from ..blocks import contextmanager, suppress
from ..typed import Iterator, Sequence
from ..values.inside import DIRECTORY, FILE, LINK, OTHER
from .tree import Effort, Entry, Hidden, Unseen
from .trees import opened

_EFFORT_MAX = 2_000_000
_WHITEOUT, _OPAQUE_FILE = ".wh.", ".wh..wh..opq"
_OPAQUE = ("user.overlay.opaque", "user.fuseoverlayfs.opaque")
_KINDS = {stat.S_IFDIR: DIRECTORY, stat.S_IFREG: FILE, stat.S_IFLNK: LINK}

_Key = tuple[tuple[str, ...], tuple[int, ...], int]
"""The names on the way to an entry, the layers that it is in, and its mode."""


@contextmanager
def layers(paths: Sequence[str], owned: bool = True) -> Iterator[Layers]:
    """The files in directories of which the first one lies over all others.

    :param owned: they have the owners that the image gives them.
    :raises Unseen: one of them is not there, or not to be looked into.
    """
    from contextlib import ExitStack

    with ExitStack() as stack:
        try:
            tops = [stack.enter_context(opened(path)) for path in paths]
        except OSError as error:
            raise Unseen(str(error)) from None
        yield Layers(tops, owned)


class Layers:
    """Such files.

    :param tops: descriptors of the directories, the uppermost first.
    """

    def __init__(self, tops: Sequence[int], owned: bool = True) -> None:
        self._tops, self.owned = tops, owned
        self._effort = Effort(_EFFORT_MAX)
        self.root = Entry(DIRECTORY, ((), tuple(range(len(tops))), 0o755))

    def entry(self, directory: Entry, name: str) -> Entry | None:
        """What a name in a directory stands for."""
        way, numbers, _mode = _key(directory)
        above: Entry | None = None
        inside: list[int] = []
        for number in numbers:
            with self._open(number, way) as place:
                status = self._status(place, name)
                if status is None:
                    if self._status(place, f"{_WHITEOUT}{name}") is not None:
                        break
                    continue
                if _hides(status) or (inside and not stat.S_ISDIR(status.st_mode)):
                    break
                inside.append(number)
                above = above or _entry((*way, name), (number,), status)
                if not stat.S_ISDIR(status.st_mode) or self._is_opaque(place, name):
                    break
        if above is not None and above.kind == DIRECTORY:
            above.key = ((*way, name), tuple(inside), _key(above)[2])
        return above

    def entries(self, directory: Entry) -> Iterator[tuple[str, Entry]]:
        """All names in a directory."""
        way, numbers, _mode = _key(directory)
        known: set[str] = set()
        for number in numbers:
            hidden: set[str] = set()
            with self._open(number, way) as place, _explained(), os.scandir(place) as listing:
                for one in listing:
                    self._effort.take()
                    if one.name.startswith(_WHITEOUT):
                        hidden.add(one.name[len(_WHITEOUT) :])
                    elif one.name not in known:
                        known.add(one.name)
                        entry = self._listed(directory, one, number)
                        if entry is not None:
                            yield one.name, entry
            known |= hidden

    def _listed(self, directory: Entry, one: os.DirEntry[str], number: int) -> Entry | None:
        status = one.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            return self.entry(directory, one.name)
        way = _key(directory)[0]
        return None if _hides(status) else _entry((*way, one.name), (number,), status)

    def target(self, link: Entry) -> str:
        """Where a link leads."""
        way, numbers, _mode = _key(link)
        with self._open(numbers[0], way[:-1]) as place, _explained():
            return os.readlink(way[-1], dir_fd=place)

    def executable(self, file: Entry) -> bool:
        """Whether somebody may execute a file."""
        return bool(_key(file)[2] & 0o111)

    def read(self, file: Entry, start: int, size: int) -> bytes:
        """Bytes of a file."""
        way, numbers, _mode = _key(file)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with self._open(numbers[0], way[:-1]) as place, _explained():
            descriptor = os.open(way[-1], flags, dir_fd=place)
            try:
                # no offset of the kernel's is larger
                regular = stat.S_ISREG(os.fstat(descriptor).st_mode) and start <= sys.maxsize
                return os.pread(descriptor, size, start) if regular else b""
            finally:
                os.close(descriptor)

    @contextmanager
    def _open(self, number: int, way: Sequence[str]) -> Iterator[int]:
        """A directory in one of the layers; no link leads out of it."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._effort.take(1 + len(way))
        with _explained():
            place = os.open(".", flags, dir_fd=self._tops[number])
        try:
            for name in way:
                with _explained():
                    below = os.open(name, flags, dir_fd=place)
                os.close(place)
                place = below
            yield place
        finally:
            os.close(place)

    def _status(self, place: int, name: str) -> os.stat_result | None:
        self._effort.take()
        with _explained():
            try:
                return os.stat(name, dir_fd=place, follow_symlinks=False)
            except FileNotFoundError:
                return None

    def _is_opaque(self, place: int, name: str) -> bool:
        """Whether a directory hides what the layers below have in it."""
        # who may not open it does not see what is in it either
        with suppress(OSError), opened(name, place) as below:
            for attribute in _OPAQUE:
                with suppress(OSError):
                    if os.getxattr(below, attribute) == b"y":
                        return True
            return self._status(below, _OPAQUE_FILE) is not None
        return False


def _entry(way: tuple[str, ...], numbers: tuple[int, ...], status: os.stat_result) -> Entry:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), OTHER)
    return Entry(kind, (way, numbers, status.st_mode), status.st_uid, status.st_gid)


def _key(entry: Entry) -> _Key:
    key: _Key = entry.key
    return key


def _hides(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = Hidden if isinstance(error, PermissionError) else Unseen
        raise kind(str(error.strerror)) from None
