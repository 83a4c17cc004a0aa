# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether something is in a squashfs file system, without mounting it.

Format: https://dr-emann.github.io/squashfs/ . Only names are looked up: that takes the tables of
inodes and directories, in blocks that are compressed each by itself. Numbers are little endian.
"""

from __future__ import annotations

import zlib

from ..typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

_MAGIC = b"hsqs"
_GZIP = 1
_DIRECTORY, _LINK, _LARGE_DIRECTORY, _LARGE_LINK = 1, 3, 8, 10
_BLOCK = 8192
_LINKS_MAX = 40
_LISTING_MAX = 16 * 1024 * 1024
_EFFORT_MAX = 1_000_000
"""Names that are looked at in all: a path may lead through a full directory again and again."""
_EFFORT_OF_BLOCK = 32
"""To undo the compression of a block takes as long as to look at so many names."""


class UnknownForm(Exception):
    """It is no squashfs, is damaged, takes too long, or Python cannot undo its compression."""


class Squashfs:
    """A file system in a file.

    :param start: where in the file it begins.
    :raises UnknownForm: it cannot be read.
    """

    def __init__(self, stream: BinaryIO, start: int) -> None:
        self._stream, self._start = stream, start
        self._effort = 0
        head = self._read(0, 96)
        if head[:4] != _MAGIC or _number(head, 20, 2) != _GZIP:
            raise UnknownForm
        self._root = _number(head, 32, 8)
        self._inodes, self._directories = _number(head, 64, 8), _number(head, 72, 8)

    def has(self, path: str) -> bool:
        """Whether the path leads to something, by way of links as they lead in a container."""
        ahead = path.split("/")[::-1]
        way = [self._root]
        links = 0
        while ahead:
            part = ahead.pop()
            if part == "..":
                del way[max(1, len(way) - 1) :]
            elif part not in ("", "."):
                inode = self._entry(way[-1], part.encode("utf-8", "surrogateescape"))
                if inode is None:
                    return False
                target = self._target(inode)
                if target is None:
                    way.append(inode)
                    continue
                links += 1
                if links > _LINKS_MAX:
                    return False
                if target.startswith("/"):
                    del way[1:]
                ahead.extend(target.split("/")[::-1])
        return True

    def _entry(self, directory: int, name: bytes) -> int | None:
        """The inode of a name in a directory."""
        listing = self._listing(directory)
        place = 0
        while place < len(listing):
            count, block = _number(listing, place, 4) + 1, _number(listing, place + 4, 4)
            place += 12
            self._take_effort(count)
            for _entry in range(count):
                size = _number(listing, place + 6, 2) + 1
                if listing[place + 8 : place + 8 + size] == name:
                    return block << 16 | _number(listing, place, 2)
                place += 8 + size
                if place > len(listing):
                    raise UnknownForm
        return None

    def _listing(self, inode: int) -> bytes:
        kind = self._kind(inode)
        if kind == _DIRECTORY:
            head = self._inode(inode, 32)
            block, size, offset = (_number(head, *at) for at in ((16, 4), (24, 2), (26, 2)))
        elif kind == _LARGE_DIRECTORY:
            head = self._inode(inode, 40)
            block, size, offset = (_number(head, *at) for at in ((24, 4), (20, 4), (34, 2)))
        else:
            return b""
        # three bytes more are said, for the directory itself and the one above it
        size = max(0, size - 3)
        if size > _LISTING_MAX:
            raise UnknownForm
        return self._metadata(self._directories + block, offset, size)

    def _target(self, inode: int) -> str | None:
        """Where a link leads; None if it is none."""
        if self._kind(inode) not in (_LINK, _LARGE_LINK):
            return None
        size = _number(self._inode(inode, 24), 20, 4)
        if size > _BLOCK:
            raise UnknownForm
        return self._inode(inode, 24 + size)[24:].decode("utf-8", "surrogateescape")

    def _kind(self, inode: int) -> int:
        return _number(self._inode(inode, 2), 0, 2)

    def _inode(self, reference: int, size: int) -> bytes:
        return self._metadata(self._inodes + (reference >> 16), reference & 0xFFFF, size)

    def _metadata(self, block: int, offset: int, size: int) -> bytes:
        """Bytes of a table, from an offset in one of its blocks."""
        content = bytearray()
        while len(content) < offset + size:
            self._take_effort(_EFFORT_OF_BLOCK)
            header = _number(self._read(block, 2), 0, 2)
            length = header & 0x7FFF
            data = self._read(block + 2, length)
            content += data if header & 0x8000 else _inflated(data)
            block += 2 + length
        return bytes(content[offset : offset + size])

    def _take_effort(self, much: int) -> None:
        self._effort += much
        if self._effort > _EFFORT_MAX:
            raise UnknownForm

    def _read(self, place: int, size: int) -> bytes:
        try:
            self._stream.seek(self._start + place)
            data = self._stream.read(size)
        except (OSError, ValueError, OverflowError):
            raise UnknownForm from None
        if len(data) != size or not size:
            raise UnknownForm
        return data


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _BLOCK)
    except zlib.error:
        raise UnknownForm from None


def _number(data: bytes, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], "little")
