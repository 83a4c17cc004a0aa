# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that lie over each other: what is seen of them, and what leads nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system.layers import Layers, layers
from ansible_collections.tre.ces.plugins.module_utils.ces.system.tree import (
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
    OTHER,
    UNSEEN,
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of three layers; outside of them is a secret."""
    for path, text in {
        "secret": "no file of the image",
        "0/bin/sh": "lowest",
        "0/bin/gone": "x",
        "0/bin/covered": "x",
        "0/opaque/old": "x",
        "0/wide/deep/one": "1",
        "0/dir/inner": "x",
        "1/bin/sh": "middle",
        "1/bin/.wh.gone": "",
        "1/opaque/.wh..wh..opq": "",
        "1/opaque/new": "x",
        "1/wide/deep/two": "2",
        "2/wide/three": "3",
        "2/dir": "now a file",
        "2/bin/covered/below": "x",
    }.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    links = tmp_path / "2/links"
    links.mkdir()
    for name, target in {
        "abs": "/bin/sh",
        "up": "../../../../bin/sh",
        "out": "../../../secret",
        "far": f"{tmp_path}/secret",
        "loop": "loop",
        "nowhere": "/none",
        "dir": "/wide",
        "through": "dir/deep/two",
    }.items():
        (links / name).symlink_to(target)
    os.mkfifo(tmp_path / "2/fifo")
    return tmp_path


def at(image: Path, path: str) -> tuple[str, str]:
    with layers([f"{image}/{number}" for number in (2, 1, 0)]) as tree:
        found = find(tree, path)
        if found.entry is None or found.kind == DIRECTORY:
            return found.kind, ""
        return found.kind, tree.read(found.entry, 0, 99).decode()


@pytest.mark.parametrize(
    ("path", "kind", "text"),
    [
        ("/", DIRECTORY, ""),
        ("/bin/sh", FILE, "middle"),
        ("bin//./sh", FILE, "middle"),
        ("/bin/../../../bin/sh", FILE, "middle"),
        ("/bin/gone", NOTHING, ""),
        ("/bin/covered", DIRECTORY, ""),
        ("/bin/covered/below", FILE, "x"),
        ("/opaque/new", FILE, "x"),
        ("/opaque/old", NOTHING, ""),
        ("/wide/deep/one", FILE, "1"),
        ("/wide/deep/two", FILE, "2"),
        ("/wide/three", FILE, "3"),
        ("/dir", FILE, "now a file"),
        ("/dir/inner", BLOCKED, ""),
        ("/links/abs", FILE, "middle"),
        ("/links/up", FILE, "middle"),
        ("/links/through", FILE, "2"),
        ("/links/dir/deep/one", FILE, "1"),
        ("/links/out", DANGLING, ""),
        ("/links/far", DANGLING, ""),
        ("/links/loop", DANGLING, ""),
        ("/links/nowhere", DANGLING, ""),
        ("/links/nowhere/x", DANGLING, ""),
        ("/links/dir/none", NOTHING, ""),
        ("/fifo", OTHER, ""),
        ("/none/x", NOTHING, ""),
        ("/a\0b", NOTHING, ""),
        ("/\ud800", NOTHING, ""),
        ("/" + "x" * 256, NOTHING, ""),
    ],
)
def test_a_path_leads_where_it_leads_in_a_container(
    image: Path, path: str, kind: str, text: str
) -> None:
    assert at(image, path) == (kind, text)


def test_all_names_are_those_of_the_uppermost_layer_that_has_them(image: Path) -> None:
    with layers([f"{image}/{number}" for number in (2, 1, 0)]) as tree:
        found = {path: entry.kind for path, entry in everything(tree)}
    assert {path for path, kind in found.items() if kind == FILE} == {
        *("/bin/sh", "/bin/covered/below", "/dir", "/opaque/new"),
        *("/wide/deep/one", "/wide/deep/two", "/wide/three"),
    }
    assert found["/bin/covered"] == DIRECTORY
    assert "secret" not in str(found)


def test_owners_and_rights_are_those_of_the_files(image: Path) -> None:
    (image / "2/wide/three").chmod(0o755)
    with layers([f"{image}/2"]) as tree:
        entries = dict(everything(tree))
        three, plain = entries["/wide/three"], entries["/dir"]
        assert (three.uid, three.gid) == (os.geteuid(), (image / "2/dir").stat().st_gid)
        assert tree.executable(three) and not tree.executable(plain)
        assert tree.read(plain, 4, 3) == b"a f"
        assert tree.read(plain, 2**70, 3) == tree.read(plain, 100, 3) == b""


def test_a_directory_that_becomes_a_link_leads_out_of_nothing(image: Path) -> None:
    """Who may write in a store for all may do so while we look."""
    with layers([f"{image}/2"]) as tree:
        wide = find(tree, "/wide").entry
        assert wide is not None
        (image / "2/wide").rename(image / "2/moved")
        (image / "2/wide").symlink_to(image)
        with pytest.raises(Unseen):
            tree.entry(wide, "secret")
        with pytest.raises(Unseen):
            list(tree.entries(wide))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look anywhere")
def test_what_this_user_may_not_look_into_is_unseen(image: Path) -> None:
    (image / "2/wide").chmod(0)
    try:
        assert at(image, "/wide/three") == (UNSEEN, "")
        with layers([f"{image}/2"]) as tree:
            assert "/dir" in dict(everything(tree))
    finally:
        (image / "2/wide").chmod(0o755)


def test_layers_that_are_not_there_are_unseen(tmp_path: Path) -> None:
    with pytest.raises(Unseen), layers([f"{tmp_path}/none"]):
        pass


def test_no_tree_is_looked_at_for_ever(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Layers.__init__.__globals__, "_EFFORT_MAX", 20)
    with layers([f"{image}/2"]) as tree, pytest.raises(Unseen):
        list(everything(tree))
    assert at(image, "/bin/.." * 100)[0] == UNSEEN
