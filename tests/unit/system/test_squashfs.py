# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems that mksquashfs has made: samples/sif/tree.squashfs and contents.squashfs.

In the first: a/b, many with 340 directories, "ä x", the file ``file``, and links: abs to /a, a/rel
to ../a/./b, up to ../../../../a, tofile to /file, far to the 333rd of many, loop to itself.
The second was made thrice: by gzip, by zstd, and by zstd with plain tables (-noI), as ours are.
"""

from __future__ import annotations

import hashlib
import io
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.system import zstd
from ansible_collections.tre.ces.plugins.module_utils.ces.system.squashfs import Squashfs
from ansible_collections.tre.ces.plugins.module_utils.ces.system.tree import (
    Entry,
    Unseen,
    everything,
    find,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.inside import (
    BLOCKED,
    DANGLING,
    DIRECTORY,
    FILE,
    NOTHING,
    UNSEEN,
)

TREE = (Path(__file__).parents[1] / "samples/sif/tree.squashfs").read_bytes()


def files(content: bytes = TREE, start: int = 0) -> Squashfs:
    return Squashfs(io.BytesIO(b"x" * start + content), start)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "a", "/a/b", "/a//b/.", "/ä x", "/../a", "/a/b/../../a"),
        *(
            "/file",
            "/tofile",
            "/abs",
            "/abs/b",
            "/a/rel",
            "/abs/rel/",
            "/up/b",
            "/far",
            "/far/../../a",
        ),
        *(f"/many/{number:03}-{'n' * 200}" for number in (0, 1, 170, 339)),
    ],
)
def test_what_is_there_is_found_by_way_of_links_as_they_lead_in_a_container(path: str) -> None:
    for start in (0, 4096):
        assert find(files(start=start), path).kind in (DIRECTORY, FILE)


@pytest.mark.parametrize(
    "path", ["/b", "/file/x", "/loop", "/loop/x", "/a/b/c", "/many/340", "/a/r"]
)
def test_what_is_not_there_is_not_found(path: str) -> None:
    assert find(files(), path).kind in (NOTHING, BLOCKED, DANGLING)


@pytest.mark.parametrize("content", [b"", b"hsqs", b"x" * 96, TREE[:20] + b"\5" + TREE[21:]])
def test_what_cannot_be_read_is_of_an_unknown_form(content: bytes) -> None:
    with pytest.raises(Unseen):
        files(content)


def test_a_path_that_leads_through_a_full_directory_again_and_again_is_left_alone() -> None:
    found = files()
    begin = time.process_time()
    assert find(found, f"/many/{339:03}-{'n' * 200}/../.." * 10_000).kind == UNSEEN
    assert time.process_time() - begin < 5


def test_the_end_of_a_file_of_many_blocks_is_not_read_piece_by_piece_for_minutes() -> None:
    """All sizes before it are gone through for each block: as much as a loader's table takes."""
    blocks = 65_000
    inode = struct.pack("<HH12xIIII", 2, 0o755, 0, 0xFFFF_FFFF, 0, blocks * 4096)
    table = inode.ljust(32 + 4 * blocks, b"\0")
    packed = b"".join(
        (0x8000 | len(part)).to_bytes(2, "little") + part
        for part in (table[at : at + 8192] for at in range(0, len(table), 8192))
    )
    head = struct.pack("<4s8xI4xH10xQ24xQQQ8x", b"hsqs", 4096, 1, 0, 96, 96, 96)
    begin = time.process_time()
    with pytest.raises(Unseen):
        files(head + packed).read(Entry(FILE, 0), (blocks - 2000) * 4096, 2000 * 4096)
    assert time.process_time() - begin < 10


ALIKE = [
    (Path(__file__).parents[1] / f"samples/sif/contents{how}.squashfs").read_bytes()
    for how in ("", "-zstd", "-plain")
]
CONTENTS = ALIKE[0]
"""Blocks of 4096 bytes: lines, twice by a hard link; noise that cannot be compressed; a hole."""
LINES = "".join(f"{number:07}\n" for number in range(1300)).encode()
NOISE = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(160))


@pytest.mark.parametrize("alike", ALIKE, ids=["gzip", "zstd", "plain"])
@pytest.mark.parametrize(
    ("path", "content"),
    [
        *(("/lines", LINES), ("/bin/linked", LINES), ("/noise", NOISE), ("/empty", b"")),
        *(("/sparse", bytes(8192) + b"end"), ("/bin/small", b"#!/bin/sh\n")),
    ],
)
@pytest.mark.parametrize(
    ("start", "size"),
    [(0, 10), (0, 20_000), (4090, 20), (8190, 9), (8192, 4), (9_999, 1), (2**60, 1)],
)
def test_any_part_of_a_file_can_be_read(
    alike: bytes, path: str, content: bytes, start: int, size: int
) -> None:
    tree = files(alike)
    found = find(tree, path).entry
    assert found is not None
    assert tree.read(found, start, size) == content[start : start + size]


@pytest.mark.parametrize("alike", ALIKE, ids=["gzip", "zstd", "plain"])
def test_names_kinds_and_rights_are_those_of_the_files(alike: bytes) -> None:
    tree = files(alike)
    found = dict(everything(tree))
    assert set(found) == {
        "/bin",
        "/bin/linked",
        "/bin/small",
        "/empty",
        *("/lines", "/noise", "/sparse"),
    }
    assert tree.executable(found["/bin/small"]) and not tree.executable(found["/lines"])
    assert len(dict(everything(files()))) == 340 + 11


def test_without_libzstd_what_is_not_compressed_is_seen_and_the_rest_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zstd, "_LIBRARY", "libnone.so.1")
    zstd._library.cache_clear()
    try:
        tree = files(ALIKE[2])
        lines = find(tree, "/lines").entry
        assert lines is not None and tree.executable(dict(everything(tree))["/bin/small"])
        with pytest.raises(Unseen, match="no libzstd"):
            tree.read(lines, 0, 10)
        assert find(files(ALIKE[1]), "/lines").kind == UNSEEN
    finally:
        zstd._library.cache_clear()


@given(tree=st.sampled_from([TREE, *ALIKE]), place=st.integers(0, 8191), value=st.integers(0, 255))
def test_a_damaged_file_system_ends_in_an_answer_or_is_unseen(
    tree: bytes, place: int, value: int
) -> None:
    try:
        found = files(tree[:place] + bytes([value]) + tree[place + 1 :])
        assert find(found, f"/far/../{339:03}-{'n' * 200}").kind
        for _path, entry in everything(found):
            if entry.kind == FILE:
                assert len(found.read(entry, 0, 100)) <= 100
                assert found.executable(entry) in (True, False)
    except Unseen:
        pass
