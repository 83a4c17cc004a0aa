# SPDX-License-Identifier: GPL-3.0-or-later
"""Module file_tree: a directory holds what the archive holds, whatever was there."""

from __future__ import annotations

import base64
import io
import os
import stat
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.modules import file_tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="what it installs belongs to root")
FILES = {
    "launcher": (b"#!/bin/sh\n", 0o755),
    "app/main.py": (b"value = 1\n", 0o644),
    "share/man/page": (b".TH\n", 0o644),
}


def archive(files: dict[str, tuple[bytes, int]]) -> str:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid = len(content), mode, 1234
            tar.addfile(entry, io.BytesIO(content))
    return base64.b64encode(packed.getvalue()).decode()


@pytest.fixture
def install(
    run: Callable[..., dict[str, Any]], tmp_path: Path, kept: Path
) -> Callable[..., dict[str, Any]]:
    def install_tree(
        check: bool = False, files: dict[str, tuple[bytes, int]] | None = None, **options: Any
    ) -> dict[str, Any]:
        options = {"path": str(tmp_path / "tree"), "archive": archive(files or FILES), **options}
        return run(file_tree, check=check, kept=str(kept), **options)

    return install_tree


def four_times(install: Callable[..., dict[str, Any]], **options: Any) -> list[str]:
    answers = [install(check=check, **options) for check in (True, False, True, False)]
    assert [answer["changed"] for answer in answers] == [True, True, False, False]
    assert answers[0]["changed_paths"] == answers[1]["changed_paths"]
    return list(answers[1]["changed_paths"])


def test_everything_is_installed_for_root(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    four_times(install)
    tree = tmp_path / "tree"
    for name, (content, mode) in FILES.items():
        assert (tree / name).read_bytes() == content
        assert stat.S_IMODE((tree / name).stat().st_mode) == mode
        assert (tree / name).stat().st_uid == 0
    assert stat.S_IMODE((tree / "app").stat().st_mode) == 0o755


def test_check_mode_installs_nothing(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    install(check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spoil", ["content", "mode", "owner", "link", "missing"])
def test_what_differs_is_brought_in_line_alone(
    install: Callable[..., dict[str, Any]], tmp_path: Path, spoil: str
) -> None:
    install()
    file = tmp_path / "tree/launcher"
    if spoil == "content":
        file.write_bytes(b"other")
    elif spoil == "mode":
        file.chmod(0o777)
    elif spoil == "owner":
        os.chown(file, 1234, 0)
    else:
        file.unlink()
    if spoil == "link":
        file.symlink_to("/bin/true")
    assert four_times(install) == [str(file)]
    assert file.read_bytes() == FILES["launcher"][0]
    assert not file.is_symlink()


def test_what_the_archive_does_not_have_goes(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    install()
    old = tmp_path / "tree/old/deep"
    old.mkdir(parents=True)
    (old / "file").write_text("text")
    assert len(four_times(install)) == 3
    assert not (tmp_path / "tree/old").exists()


def test_beside_exact_directories_others_keep_theirs(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    foreign, stale = tmp_path / "tree/foreign", tmp_path / "tree/app/stale"
    (tmp_path / "tree/app").mkdir(parents=True)
    foreign.write_text("text")
    stale.write_text("text")
    (tmp_path / "tree").chmod(0o700)
    install(exact=["app"])
    assert foreign.exists()
    assert not stale.exists()
    assert stat.S_IMODE((tmp_path / "tree").stat().st_mode) == 0o700


def test_what_is_not_wanted_any_more_goes(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "tree/unwanted").mkdir(parents=True)
    assert f"{tmp_path}/tree/unwanted (not wanted)" in four_times(
        install, exact=["app"], absent=["unwanted", "never-there"]
    )


def test_a_directory_of_a_group_is_closed_to_others(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    four_times(install, groups={"app": "nogroup", "share": ""})
    assert stat.S_IMODE((tmp_path / "tree/app").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "tree/share").stat().st_mode) == 0o755


def test_a_group_that_is_not_there_is_named(install: Callable[..., dict[str, Any]]) -> None:
    answer = install(groups={"app": "no-such-group"})
    assert answer["failed"]
    assert "no-such-group" in answer["msg"]


def test_links_lead_into_it_and_older_ones_go(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    commands, pages = tmp_path / "bin", tmp_path / "man"
    commands.mkdir()
    (commands / "old").symlink_to(tmp_path / "tree/launcher")
    (commands / "foreign").symlink_to("/bin/true")
    changed = four_times(
        install, links={f"{commands}/new": "launcher"}, links_below={"share": str(pages)}
    )
    assert os.readlink(commands / "new") == f"{tmp_path}/tree/launcher"
    assert os.readlink(pages / "man/page") == f"{tmp_path}/tree/share/man/page"
    assert f"{commands}/old (stale)" in changed
    assert sorted(path.name for path in commands.iterdir()) == ["foreign", "new"]


def test_byte_code_is_made_and_follows_its_source(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    four_times(install, byte_code=True)
    cache = tmp_path / "tree/app/__pycache__"
    assert len(list(cache.iterdir())) == 1
    changed = install(byte_code=True, files={**FILES, "app/main.py": (b"value = 22\n", 0o644)})
    assert any("(byte code)" in path for path in changed["changed_paths"])
    files = {name: entry for name, entry in FILES.items() if name != "app/main.py"}
    install(byte_code=True, files=files)
    assert not cache.exists()


NEWER = {"launcher": FILES["launcher"], "app/other.py": (b"value = 2\n", 0o644)}


def test_a_program_that_runs_goes_on_with_the_files_that_it_began_with(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    four_times(install, keep_days=30, byte_code=True)
    tree = tmp_path / "tree"
    began = tree.resolve()
    assert began.parent == tmp_path / "tree.d"
    changed = four_times(install, files=NEWER, keep_days=30, byte_code=True)
    assert f"{tree}/app/other.py" in changed
    assert f"{tree}/app/main.py (stale)" in changed
    assert f"{tree}/launcher" not in changed
    assert sorted(path.name for path in (tree / "app").iterdir()) == ["__pycache__", "other.py"]
    assert (began / "app/main.py").read_bytes() == FILES["app/main.py"][0]
    # back again, and what somebody has changed there is brought in line
    (began / "launcher").write_bytes(b"other")
    four_times(install, keep_days=30, byte_code=True)
    assert tree.resolve() == began
    assert (tree / "launcher").read_bytes() == FILES["launcher"][0]


def test_what_is_changed_in_a_kept_directory_is_brought_in_line(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    install(keep_days=30)
    (tmp_path / "tree/launcher").chmod(0o777)
    assert four_times(install, keep_days=30) == [f"{tmp_path}/tree/launcher"]


def test_a_directory_that_was_there_is_kept_too(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    install()
    links = {f"{tmp_path}/bin/new": "launcher"}
    assert four_times(install, keep_days=30, links=links) == [
        f"{tmp_path}/tree (link)",
        f"{tmp_path}/bin/new",
    ]
    (before,) = (tmp_path / "tree.d").glob("before-*")
    assert (before / "launcher").read_bytes() == FILES["launcher"][0]
    assert (tmp_path / "bin/new").read_bytes() == FILES["launcher"][0]


def test_days_are_counted_from_the_change(
    install: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    install(keep_days=30)
    began = (tmp_path / "tree").resolve()
    long_ago = time.time() - 31 * 24 * 3600
    os.utime(began, (long_ago, long_ago))
    # the one that is used is never too old
    assert not install(keep_days=30)["changed"]
    install(files=NEWER, keep_days=30)
    assert began.is_dir()
    os.utime(began, (long_ago, long_ago))
    assert four_times(install, files=NEWER, keep_days=30) == [f"{began} (no longer kept)"]
    assert not began.exists()


def test_a_number_of_days_that_is_none_is_refused(install: Callable[..., dict[str, Any]]) -> None:
    assert install(keep_days=-1)["msg"] == "keep_days: -1 is less than 0."


@pytest.mark.parametrize("broken", ["no base64!", base64.b64encode(b"no archive").decode()])
def test_a_broken_archive_is_refused_with_the_path(
    run: Callable[..., dict[str, Any]], tmp_path: Path, broken: str
) -> None:
    answer = run(file_tree, path=str(tmp_path / "tree"), archive=broken)
    assert answer["failed"]
    assert str(tmp_path / "tree") in answer["msg"]


def test_a_program_takes_up_the_directory_whatever_became_of_the_run_that_changed_it(
    install: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    argv = ["sh", "-c", f"echo run >>{runs}"]
    four_times(install, apply=argv)
    assert runs.read_text() == "run\n"
    files = {**FILES, "launcher": (b"#!/bin/sh\ntrue\n", 0o755)}

    def stop(module: Any, *_: Any) -> None:
        module.fail_json(msg="interrupted")

    with monkeypatch.context() as patched:
        patched.setattr(file_tree, "apply_files", stop)
        install(apply=argv, files=files)
    answers = [install(apply=argv, files=files, check=check) for check in (True, False, True)]
    assert [answer["changed"] for answer in answers] == [True, True, False]
    assert [answer["changed_paths"] for answer in answers] == [[], [], []]
    assert runs.read_text() == "run\nrun\n"
