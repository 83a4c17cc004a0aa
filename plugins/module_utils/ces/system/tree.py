# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of an image, however an engine keeps them: found as they are in a container.

Who made the image chose every name, link and size in it. So links are followed here and never by
the kernel, and all that is done takes of an ``Effort``.
"""

from __future__ import annotations

from ..blocks import suppress
from ..dataclass import dataclass
from ..typed import Any, Iterator, Protocol
from ..values.inside import BLOCKED, DANGLING, DIRECTORY, LINK, NOTHING, UNSEEN

_PATH_MAX = 4096
"""Bytes of a path: Linux opens none that is longer."""
_AHEAD_MAX = 16_000_000
"""Characters of the paths of directories that are to be looked into; an image has some thousand."""
_LINKS_MAX = 40
"""Links on one way that are followed: as many as the kernel follows."""


class Unseen(Exception):
    """It cannot be seen: this user may not look, the form is unknown, or it takes too long."""


class Hidden(Unseen):
    """This user may not look there."""


class Effort:
    """What may be done in all with one tree.

    :param most: names that are looked at; what takes longer counts for more of them.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, much: int = 1) -> None:
        """
        :raises Unseen: it is too much.
        """
        self._left -= much
        if self._left < 0:
            raise Unseen("there is too much of it")


class Entry:
    """What a name in a directory stands for.

    :param kind: ``DIRECTORY``, ``FILE``, ``LINK`` or ``OTHER``.
    :param key: by which its tree knows it, whatever that is.
    :param uid: the owner's number on this host, likewise ``gid``; -1 where the tree keeps none.
    """

    # there are hundreds of thousands in an image
    __slots__ = ("gid", "key", "kind", "uid")

    def __init__(self, kind: str, key: Any, uid: int = -1, gid: int = -1) -> None:
        self.kind, self.key, self.uid, self.gid = kind, key, uid, gid


class Tree(Protocol):
    """The files of an image. All methods raise :class:`Unseen`.

    ``owned``: it shows whose the files are.
    """

    owned: bool

    @property
    def root(self) -> Entry:
        """Its ``/``."""

    def entry(self, directory: Entry, name: str) -> Entry | None:
        """What a name in a directory stands for; None if it has none of that name."""

    def entries(self, directory: Entry) -> Iterator[tuple[str, Entry]]:
        """All names in a directory."""

    def target(self, link: Entry) -> str:
        """Where a link leads, as it stands there."""

    def executable(self, file: Entry) -> bool:
        """Whether somebody may execute a file."""

    def read(self, file: Entry, start: int, size: int) -> bytes:
        """Bytes of a file, fewer where it ends."""


@dataclass(frozen=True)
class Found:
    """What a path leads to.

    :param kind: as in values/inside.py.
    :param entry: None where there is nothing, or nothing to be seen.
    """

    kind: str
    entry: Entry | None = None


def find(tree: Tree, path: str) -> Found:
    """What a path leads to in a container, from its ``/``."""
    try:
        return _find(tree, path)
    except Unseen:
        return Found(UNSEEN)


def _find(tree: Tree, path: str) -> Found:
    # the names ahead, the next one last, and whether a link leads there
    ahead = [(part, False) for part in path.split("/")[::-1]]
    way, links = [tree.root], 0
    while ahead:
        part, linked = ahead.pop()
        if part == "..":
            del way[max(1, len(way) - 1) :]
        elif part not in ("", "."):
            if way[-1].kind != DIRECTORY:
                return Found(BLOCKED)
            entry = tree.entry(way[-1], part) if _can_be_a_name(part) else None
            if entry is None:
                return Found(DANGLING if linked else NOTHING)
            if entry.kind != LINK:
                way.append(entry)
                continue
            links += 1
            if links > _LINKS_MAX:
                return Found(DANGLING)
            target = tree.target(entry)
            if target.startswith("/"):
                del way[1:]
            ahead.extend((part, True) for part in target.split("/")[::-1])
    return Found(way[-1].kind, way[-1])


def _can_be_a_name(part: str) -> bool:
    try:
        raw = part.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return len(raw) <= 255 and b"\0" not in raw


def everything(tree: Tree) -> Iterator[tuple[str, Entry]]:
    """All files with their paths, those near the root first; links are not followed.

    Directories that this user may not open are passed over, and those with longer paths than
    anybody can open.

    :raises Unseen: there is too much of it.
    """
    ahead = [("", tree.root)]
    while ahead:
        level, ahead, held = ahead, [], Effort(_AHEAD_MAX)
        for path, directory in level:
            with suppress(Hidden):
                for name, entry in tree.entries(directory):
                    yield f"{path}/{name}", entry
                    if entry.kind == DIRECTORY and len(path) + len(name) < _PATH_MAX:
                        held.take(len(path) + len(name))
                        ahead.append((f"{path}/{name}", entry))
