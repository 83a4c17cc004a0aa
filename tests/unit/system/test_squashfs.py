# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories of a file system that mksquashfs has made: samples/sif/tree.squashfs.

In it: a/b, many with 340 directories, "ä x", the file ``file``, and links: abs to /a, a/rel to
../a/./b, up to ../../../../a, tofile to /file, far to the 333rd of many, loop to itself.
"""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.system.squashfs import (
    Squashfs,
    UnknownForm,
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
    assert files().has(path)
    assert files(start=4096).has(path)


@pytest.mark.parametrize(
    "path", ["/b", "/file/x", "/loop", "/loop/x", "/a/b/c", "/many/340", "/a/r"]
)
def test_what_is_not_there_is_not_found(path: str) -> None:
    assert not files().has(path)


@pytest.mark.parametrize("content", [b"", b"hsqs", b"x" * 96, TREE[:20] + b"\6" + TREE[21:]])
def test_what_cannot_be_read_is_of_an_unknown_form(content: bytes) -> None:
    with pytest.raises(UnknownForm):
        files(content)


def test_a_path_that_leads_through_a_full_directory_again_and_again_is_left_alone() -> None:
    found = files()
    begin = time.process_time()
    with pytest.raises(UnknownForm):
        found.has(f"/many/{339:03}-{'n' * 200}/../.." * 10_000)
    assert time.process_time() - begin < 5


@given(place=st.integers(0, len(TREE) - 1), value=st.integers(0, 255))
def test_a_damaged_file_system_ends_in_an_answer_or_in_an_unknown_form(
    place: int, value: int
) -> None:
    try:
        found = files(TREE[:place] + bytes([value]) + TREE[place + 1 :])
        assert found.has(f"/far/../{339:03}-{'n' * 200}") in (True, False)
    except UnknownForm:
        pass
