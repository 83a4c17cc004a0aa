# SPDX-License-Identifier: GPL-3.0-or-later
"""A squashfs file system, read without mounting it.

Format: https://dr-emann.github.io/squashfs/ . The tables of inodes and directories, and the files'
contents, are in blocks that are compressed each by itself. Numbers are little endian.
"""

from __future__ import annotations

import zlib

from ..dataclass import dataclass
from ..typed import TYPE_CHECKING, Callable, Iterator, Mapping
from ..values.inside import DIRECTORY, FILE, LINK, OTHER
from .tree import Effort, Entry, Unseen

if TYPE_CHECKING:
    from typing import BinaryIO

_MAGIC = b"hsqs"
_DIRECTORY, _FILE, _LINK = 1, 2, 3
_LARGE = 7
"""What is added to a kind's number where its inode has longer numbers."""
_KINDS = {_DIRECTORY: DIRECTORY, _FILE: FILE, _LINK: LINK}
_BLOCK = 8192
_KEPT_MAX = 256
"""Blocks of the tables that are kept unpacked."""
_DATA_MAX = 1024 * 1024
"""Bytes of a block of files' contents."""
_PACKED_AS_IT_IS = 1 << 24
_NO_FRAGMENT = 0xFFFF_FFFF
_FRAGMENTS_OF_BLOCK = 512
_BLOCKS_MAX = 65_536
"""Of a file of which we read: 8 GiB of it, as blocks usually are."""
_LISTING_MAX = 16 * 1024 * 1024
_EFFORT_MAX = 1_000_000
"""Names that are looked at in all: a path may lead through a full directory again and again."""
_EFFORT_OF_BLOCK = 32
"""To undo the compression of a block takes as long as to look at so many names."""
_EFFORT_OF_DATA = 512
_NAME_MAX = 256
"""Bytes of a name (SQUASHFS_NAME_LEN)."""


class Squashfs:
    """A file system in a file.

    :param start: where in the file it begins.
    :raises Unseen: it is no squashfs, is damaged, or we cannot undo its compression.
    """

    owned = False
    """Apptainer makes all files root's."""

    def __init__(self, stream: BinaryIO, start: int) -> None:
        self._stream, self._start = stream, start
        self._effort = Effort(_EFFORT_MAX)
        self._blocks: dict[int, tuple[bytes, int]] = {}
        """Unpacked blocks of tables, and where the next one is, by their places."""
        head = self._read(0, 96)
        inflate = _INFLATE.get(_number(head, 20, 2))
        if head[:4] != _MAGIC or inflate is None:
            raise Unseen("it is of another form, or compressed in another way than gzip and zstd")
        self._inflate = inflate
        self._size = _number(head, 12, 4)
        if not 4096 <= self._size <= _DATA_MAX:
            raise _damaged()
        self._inodes, self._directories = _number(head, 64, 8), _number(head, 72, 8)
        self._fragments = _number(head, 80, 8)
        self.root = Entry(DIRECTORY, _number(head, 32, 8))

    def entry(self, directory: Entry, name: str) -> Entry | None:
        """What a name in a directory stands for."""
        wanted = name.encode("utf-8", "surrogateescape")
        return next((entry for found, entry in self._named(directory) if found == wanted), None)

    def entries(self, directory: Entry) -> Iterator[tuple[str, Entry]]:
        """All names in a directory."""
        for name, entry in self._named(directory):
            yield name.decode("utf-8", "surrogateescape"), entry

    def target(self, link: Entry) -> str:
        """Where a link leads."""
        inode = _inode_of(link)
        if self._kind(inode)[0] != _LINK:
            raise _damaged()
        size = _number(self._inode(inode, 24), 20, 4)
        if size > _BLOCK:
            raise _damaged()
        return self._inode(inode, 24 + size)[24:].decode("utf-8", "surrogateescape")

    def executable(self, file: Entry) -> bool:
        """Whether somebody may execute a file."""
        return bool(_number(self._inode(_inode_of(file), 4), 2, 2) & 0o111)

    def read(self, file: Entry, start: int, size: int) -> bytes:
        """Bytes of a file."""
        contents = self._contents(_inode_of(file))
        end = min(start + size, contents.size)
        if start >= end:
            return b""
        first, last = start // self._size, (end - 1) // self._size
        data = b"".join(self._data(contents, number) for number in range(first, last + 1))
        begin = first * self._size
        return data[start - begin : end - begin]

    def _named(self, directory: Entry) -> Iterator[tuple[bytes, Entry]]:
        listing = self._listing(_inode_of(directory))
        place = 0
        while place < len(listing):
            count, block = _number(listing, place, 4) + 1, _number(listing, place + 4, 4)
            place += 12
            for _entry in range(count):
                self._effort.take()
                size = _number(listing, place + 6, 2) + 1
                if place + 8 + size > len(listing) or size > _NAME_MAX:
                    raise _damaged()
                kind = _KINDS.get(_number(listing, place + 4, 2), OTHER)
                inode = block << 16 | _number(listing, place, 2)
                yield listing[place + 8 : place + 8 + size], Entry(kind, inode)
                place += 8 + size

    def _listing(self, inode: int) -> bytes:
        kind, large = self._kind(inode)
        if kind != _DIRECTORY:
            return b""
        head = self._inode(inode, 40 if large else 32)
        places = ((24, 4), (20, 4), (34, 2)) if large else ((16, 4), (24, 2), (26, 2))
        block, size, offset = (_number(head, *at) for at in places)
        # three bytes more are said, for the directory itself and the one above it
        size = max(0, size - 3)
        if size > _LISTING_MAX:
            raise _damaged()
        return self._metadata(self._directories + block, offset, size)

    def _contents(self, inode: int) -> _Contents:
        kind, large = self._kind(inode)
        if kind != _FILE:
            raise _damaged()
        length = 56 if large else 32
        head = self._inode(inode, length)
        places = (
            ((16, 8), (24, 8), (44, 4), (48, 4)) if large else ((16, 4), (28, 4), (20, 4), (24, 4))
        )
        first, size, fragment, offset = (_number(head, *at) for at in places)
        return _Contents(inode, length, first, size, fragment, offset)

    def _data(self, contents: _Contents, number: int) -> bytes:
        """A block of a file; its last one may be in a block with the ends of other files."""
        # the sizes of all blocks before it are looked at, too
        self._effort.take(_EFFORT_OF_DATA + number)
        whole = contents.size // self._size
        if number >= whole and contents.fragment != _NO_FRAGMENT:
            return self._fragment(contents)
        if number >= _BLOCKS_MAX:
            raise Unseen("a file in it is too long")
        place = contents.head + 4 * (number + 1)
        sizes = self._inode(contents.inode, place)[contents.head :]
        listed = [_number(sizes, at, 4) for at in range(0, len(sizes), 4)]
        packed = [size & ~_PACKED_AS_IT_IS for size in listed]
        if not packed[-1]:
            return bytes(self._size)
        return self._unpacked(contents.first + sum(packed[:-1]), listed[-1])

    def _fragment(self, contents: _Contents) -> bytes:
        block, number = divmod(contents.fragment, _FRAGMENTS_OF_BLOCK)
        table = _number(self._read(self._fragments + 8 * block, 8), 0, 8)
        entry = self._metadata(table, 16 * number, 16)
        data = self._unpacked(_number(entry, 0, 8), _number(entry, 8, 4))
        return data[contents.offset : contents.offset + contents.size % self._size]

    def _unpacked(self, place: int, size: int) -> bytes:
        packed = size & ~_PACKED_AS_IT_IS
        if packed > _DATA_MAX:
            raise _damaged()
        data = self._read(place, packed)
        return data if size & _PACKED_AS_IT_IS else self._inflate(data, self._size)

    def _kind(self, inode: int) -> tuple[int, bool]:
        """What an inode is, and whether it has longer numbers."""
        kind = _number(self._inode(inode, 2), 0, 2)
        return (kind - _LARGE, True) if kind > _LARGE else (kind, False)

    def _inode(self, reference: int, size: int) -> bytes:
        return self._metadata(self._inodes + (reference >> 16), reference & 0xFFFF, size)

    def _metadata(self, block: int, offset: int, size: int) -> bytes:
        """Bytes of a table, from an offset in one of its blocks."""
        content = bytearray()
        while len(content) < offset + size:
            data, block = self._block(block)
            content += data
        return bytes(content[offset : offset + size])

    def _block(self, place: int) -> tuple[bytes, int]:
        self._effort.take()
        if place not in self._blocks:
            self._effort.take(_EFFORT_OF_BLOCK)
            header = _number(self._read(place, 2), 0, 2)
            length = header & 0x7FFF
            data = self._read(place + 2, length)
            if len(self._blocks) >= _KEPT_MAX:
                self._blocks.clear()
            unpacked = data if header & 0x8000 else self._inflate(data, _BLOCK)
            self._blocks[place] = (unpacked, place + 2 + length)
        return self._blocks[place]

    def _read(self, place: int, size: int) -> bytes:
        try:
            self._stream.seek(self._start + place)
            data = self._stream.read(size)
        except (OSError, ValueError, OverflowError):
            raise _damaged() from None
        if len(data) != size or not size:
            raise _damaged()
        return data


@dataclass(frozen=True)
class _Contents:
    """Where the contents of a file are.

    :param head: bytes of its inode before the list of its blocks.
    :param first: where the first block is.
    :param fragment: the number of the block with its end, which is at ``offset`` there.
    """

    inode: int
    head: int
    first: int
    size: int
    fragment: int
    offset: int


def _inode_of(entry: Entry) -> int:
    key: int = entry.key
    return key


def _damaged() -> Unseen:
    return Unseen("it is damaged")


def _of_gzip(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        raise _damaged() from None


def _of_zstd(data: bytes, most: int) -> bytes:
    # few look at what is compressed: the tables of our own files are not
    from .zstd import decompressed

    try:
        found = decompressed(data, most)
    except OSError:
        raise Unseen("this host has no libzstd, to undo its compression") from None
    if found is None:
        raise _damaged()
    return found


_INFLATE: Mapping[int, Callable[[bytes, int], bytes]] = {1: _of_gzip, 6: _of_zstd}
"""By the number of a compression: how a block is decompressed, to so many bytes at most."""


def _number(data: bytes, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], "little")
