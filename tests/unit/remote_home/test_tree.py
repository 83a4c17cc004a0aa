# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that travel: nothing is reached through a link, whatever a stream says."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ces_remote import tree
from ces_remote.new_file import TEMPORARY
from support import there


def stream(*members: tuple[str, bytes | tuple[bytes, str]]) -> io.BytesIO:
    """A tar of (name, content or kind)."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in members:
            header = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
            else:
                header.type, header.linkname = content
                tar.addfile(header)
    raw.seek(0)
    return raw


def unpacked(
    raw: io.BytesIO, root: Path, notes: dict[str, Callable[..., Any]] | None = None
) -> list[str]:
    with tree.reading(raw) as tar:
        return tree.unpack(tar, lambda prefix, parts: str(root) if prefix == "a" else None, notes)


def packed(root: Path, **more: Any) -> tuple[io.BytesIO, int]:
    raw = io.BytesIO()
    with tree.writing(raw) as tar:
        left = tree.pack(tar, str(root), "a", **more)
    raw.seek(0)
    return raw, left


def names(raw: io.BytesIO) -> list[str]:
    with tarfile.open(fileobj=raw) as tar:
        return tar.getnames()


def contents(root: Path) -> dict[str, bytes]:
    return {
        os.path.relpath(os.path.join(top, name), root): open(os.path.join(top, name), "rb").read()
        for top, _names, files in os.walk(root)
        for name in files
    }


def test_there_and_back_with_any_name_and_mode(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    names = [b"a\nb", b"-rf", b"\xff\xfe", b" ", b"...", b'it\'s "q" $(id)', b"sub/deep/x"]
    (here / "sub" / "deep").mkdir(parents=True)
    (here / "sub").chmod(0o700)
    for name in names:
        path = os.path.join(os.fsencode(here), name)
        with open(path, "wb") as file:
            file.write(name * 1000)
        os.chmod(path, 0o640)
    raw, left = packed(here)
    assert (unpacked(raw, there), left) == ([], 0)
    assert contents(there) == contents(here)
    assert (there / "sub").stat().st_mode & 0o777 == 0o700
    assert (there / " ").stat().st_mode & 0o777 == 0o640
    assert tree.measure(str(there)) == tree.measure(str(here))


def test_links_and_other_kinds_stay_where_they_are(tmp_path: Path) -> None:
    here = tmp_path / "here"
    (here / "real").mkdir(parents=True)
    (here / "real" / "file").write_text("x")
    (here / "link").symlink_to("/etc/passwd")
    (here / "directory").symlink_to("/etc")
    os.mkfifo(here / "pipe")
    raw, _left = packed(here)
    assert sorted(names(raw)) == ["a/real", "a/real/file"]
    (tmp_path / "to").symlink_to(here)
    assert list(tree.walk(str(tmp_path / "to"))) == [], "the root is no link either"


@pytest.mark.parametrize(
    "name", ["a/../x", "a/x/../../y", "/etc/x", "a//x", "a/./x", "a", "b/x", "a/", "../x"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    raw = stream((name, b"bad"), ("a/good", b"good"))
    assert len(unpacked(raw, root)) == 1
    assert contents(tmp_path) == {"root/good": b"good"}


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_kinds_that_are_no_files_are_refused(tmp_path: Path, kind: bytes) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    root.mkdir()
    raw = stream(("a/x", (kind, str(outside))), ("a/x/file", b"through it"))
    assert unpacked(raw, root)[0] == "a/x"
    assert contents(outside) == {}


def test_a_link_that_is_there_already_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("mine")
    root = tmp_path / "root"
    root.mkdir()
    (root / "way").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    raw = stream(("a/way/file", b"bad"), ("a/file", b"new"), ("a/way", (tarfile.DIRTYPE, "")))
    assert unpacked(raw, root) == ["a/way/file", "a/way"]
    assert contents(outside) == {"secret": b"mine"}
    assert not (root / "file").is_symlink()
    assert (root / "file").read_text() == "new"


def test_a_file_where_a_directory_is_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert unpacked(stream(("a/x", b"bad"), ("a/y", b"good")), tmp_path) == ["a/x"]
    assert contents(tmp_path) == {"y": b"good"}


def test_a_stream_that_breaks_off_leaves_whole_files_and_no_others(tmp_path: Path) -> None:
    raw = stream(("a/whole", b"x" * 1000), ("a/broken", b"y" * 100_000))
    cut = io.BytesIO(raw.getvalue()[:20_000])
    with pytest.raises((tarfile.TarError, EOFError)):
        unpacked(cut, tmp_path)
    assert contents(tmp_path) == {"whole": b"x" * 1000}


def test_what_a_killed_copy_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / f"{TEMPORARY}0123").write_text("half")
    (tmp_path / "sub" / "kept").write_text("whole")
    tree.remove_temporary(str(tmp_path))
    assert contents(tmp_path) == {"sub/kept": b"whole"}


def test_of_a_long_file_the_end(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"0123456789")
    raw = io.BytesIO()
    with tree.writing(raw) as tar:
        tree.add_file(tar, "a/log", str(tmp_path / "log"), last=4)
    raw.seek(0)
    with tarfile.open(fileobj=raw) as tar:
        assert there(tar.extractfile("a/log")).read() == b"6789"


def test_notes_are_no_files(tmp_path: Path) -> None:
    got: list[Any] = []
    assert unpacked(stream(("note", b"said"), ("a/x", b"x")), tmp_path, {"note": got.append}) == []
    assert (got, contents(tmp_path)) == ([b"said"], {"x": b"x"})


def test_directories_that_lie_too_deep_are_counted_and_the_rest_travels(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "result").write_text("found")
    for _level in range(1200):
        os.mkdir("d", dir_fd=here)
        above, here = here, os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(here)
    try:
        raw, left = packed(tmp_path)
    finally:
        subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)
    found = names(raw)
    assert (left, "a/result" in found) == (1, True)
    assert len(found) > tree.DEEP
