# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that others filled, or change while we are at them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from support import as_ordinary_user

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system import trees
from ansible_collections.tre.ces.plugins.module_utils.ces.system.files import remove_tree
from ansible_collections.tre.ces.plugins.module_utils.ces.system.rootfs import settle_rootfs


def nest(top: Path, levels: int) -> None:
    """Directories in each other, deeper than any path can say."""
    here = os.open(top, os.O_RDONLY)
    for _level in range(levels):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT, dir_fd=here))
    os.close(here)


def test_a_tree_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    nest(tree, 2100)
    remove_tree(str(tree))
    assert not list(tmp_path.iterdir())


def test_a_deep_image_is_settled(tmp_path: Path) -> None:
    nest(tmp_path, 1100)
    try:
        assert settle_rootfs(str(tmp_path)) >= 0
    finally:  # pytest could not
        trees.remove(str(tmp_path / "d"))


def test_what_an_image_lets_everybody_write_only_its_owner_may_write(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    (tmp_path / "program").touch()
    (tmp_path / "program").chmod(0o6777)
    settle_rootfs(str(tmp_path))
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert (found["tmp"], found["program"]) == (0o755, 0o755)


def test_a_directory_that_becomes_a_link_while_its_tree_is_removed_keeps_what_it_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, tree = tmp_path / "kept", tmp_path / "tree"
    for directory in (kept, tree / "inside"):
        directory.mkdir(parents=True)
        (directory / "file").touch()
    kept.chmod(0o500)
    real = os.listdir

    def swap(directory: Path | int) -> list[str]:
        found = real(directory)
        if "inside" in found:
            (tree / "inside").rename(tmp_path / "aside")
            (tree / "inside").symlink_to(kept)
        return found

    monkeypatch.setattr(os, "listdir", swap)
    trees.remove(str(tree))
    assert [path.name for path in kept.iterdir()] == ["file"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o500
    assert not tree.exists()


@pytest.mark.parametrize("trick", ["link", "other", "filled"])
def test_a_new_directory_that_somebody_swapped_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trick: str
) -> None:
    real = os.mkdir

    def swapped(name: Path | str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        real(name, mode, dir_fd=dir_fd)
        place = tmp_path / "new"
        if trick == "filled":
            (place / "file").touch()
            return
        place.rmdir()
        (tmp_path / "victim").mkdir(mode=0o755)
        if trick == "link":
            place.symlink_to(tmp_path / "victim")
        else:
            (tmp_path / "victim").rename(place)

    monkeypatch.setattr(os, "mkdir", swapped)
    with pytest.raises((CesError, OSError)), trees.new_directory(str(tmp_path / "new")):
        pass


@pytest.mark.parametrize(
    ("mode", "safe"), [(0o755, True), (0o700, True), (0o775, False), (0o757, False), (0o1777, True)]
)
def test_who_may_write_above_may_swap_what_we_make(mode: int, safe: bool) -> None:
    def work(place: Path) -> None:
        (place / "above/store").mkdir(parents=True)
        (place / "above").chmod(mode)
        assert trees.only_ours(str(place / "above/store")) == safe

    as_ordinary_user(work)


def test_no_link_is_followed_to_make_a_directory(tmp_path: Path) -> None:
    """Who may write in the directory of outputs can put one there at any moment."""
    (tmp_path / "top").mkdir()
    (tmp_path / "elsewhere").mkdir()
    trees.make_below(str(tmp_path / "top"), "a/b")
    trees.make_below(str(tmp_path / "top"), "a/c")
    assert sorted(path.name for path in (tmp_path / "top/a").iterdir()) == ["b", "c"]
    (tmp_path / "top/link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        trees.make_below(str(tmp_path / "top"), "link/x")
    assert list((tmp_path / "elsewhere").iterdir()) == []
