# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are private from the start, replaced in one step, and locked between processes."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import as_ordinary_user, eventually, there

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    Busy,
    CesError,
    InvalidValue,
    NotFound,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system import files, trees
from ansible_collections.tre.ces.plugins.module_utils.ces.system.files import (
    locked,
    private_directory,
    read_json,
    read_text,
    remove_tree,
    try_lock,
    write_atomic,
    write_new,
)


def mode_of(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Modes must come out the same whatever the user's umask."""
    before = os.umask(request.param)
    yield
    os.umask(before)


# --- writing ---


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_its_mode_whatever_the_umask(tmp_path: Path, umask: None, mode: int) -> None:
    write_atomic(f"{tmp_path}/a", "text", mode)
    write_new(f"{tmp_path}/b", "text", mode)
    assert [mode_of(tmp_path / name) for name in "ab"] == [mode, mode]


def test_a_secret_is_never_readable_by_others_not_even_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, real = [], os.open

    def watching(path: str, flags: int, mode: int = 0o777, **more: Any) -> int:
        descriptor = real(path, flags, mode, **more)
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    before = os.umask(0)
    monkeypatch.setattr(os, "open", watching)
    write_atomic(f"{tmp_path}/secret", "s3cret")
    os.umask(before)
    assert seen == [0o600]


@pytest.mark.parametrize("text", ["", "a\r\nb\n", "\u20ac\u2028", "\udcff", "x" * 100_000])
def test_text_is_written_as_it_is(tmp_path: Path, text: str) -> None:
    write_atomic(f"{tmp_path}/a", text)
    assert (tmp_path / "a").read_bytes() == text.encode("utf-8", "surrogateescape")


def test_a_new_file_is_never_written_over_or_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("old", "link"):
        with pytest.raises(FileExistsError):
            write_new(f"{tmp_path}/{name}", "new")
    assert (tmp_path / "old").read_text() == "old"
    assert not (tmp_path / "elsewhere").exists()


def test_replacing_a_link_replaces_the_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_atomic(f"{tmp_path}/link", "new")
    assert (tmp_path / "target").read_text() == "kept"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("failing", ["fdopen", "replace", "fsync"])
def test_when_writing_fails_the_old_text_is_whole_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    write_atomic(f"{tmp_path}/a", "old")

    def fail(*_args: int | str, **_more: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(CesError, match="the disk is full: free some space"):
        write_atomic(f"{tmp_path}/a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_readers_see_the_old_text_or_the_new_and_never_a_part(tmp_path: Path) -> None:
    path, texts = tmp_path / "a", {"a" * 50_000, "b" * 60_000}
    write_atomic(str(path), "a" * 50_000)
    done, seen = threading.Event(), set()

    def reader() -> None:
        while not done.is_set():
            seen.add(path.read_text())

    reading = threading.Thread(target=reader)
    reading.start()
    for _round in range(50):
        for text in texts:
            write_atomic(str(path), text, durable=False)
    done.set()
    reading.join()
    assert seen <= texts


# --- reading ---


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_ordinary_file_is_neither_waited_for_nor_read(
    tmp_path: Path, make: Callable[..., Any]
) -> None:
    """A FIFO would be waited for, and no signal would end that; of a device there is no end."""
    path = str(tmp_path / "run.json")
    make(path)
    with pytest.raises(CesError, match=r"run\.json: it is no ordinary file\. .*remove it"):
        files.read_json(path, "the record")
    assert files.read_if_there(path) == ""
    with pytest.raises(CesError, match="Is a directory"):
        files.read_json(str(tmp_path), "the record")


CORE = Path(files.__file__).parents[1]
NOT_THE_USERS = {
    *("system/allocation.py", "system/cgroup.py"),  # the kernel's
    *("system/rootfs.py", "system/subids.py"),  # made by us a moment ago; root's
    "system/host/packed.py",  # root's
    "system/host/podman_databases.py",  # whoever calls it says what it may open
}


def test_every_file_of_a_user_is_opened_without_waiting() -> None:
    waiting: list[str] = []
    for path in sorted(CORE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "open":
                continue
            of_a_process = "/proc/" in ast.unparse(node.args[0])
            if not of_a_process and "opener" not in [word.arg for word in node.keywords]:
                waiting.append(str(path.relative_to(CORE)))
    assert {*waiting} <= NOT_THE_USERS


def test_text_is_read_without_a_byte_order_mark_and_from_a_fifo(tmp_path: Path) -> None:
    (tmp_path / "bom").write_bytes(b"\xef\xbb\xbfa\r\nb")
    assert read_text(f"{tmp_path}/bom", "the file") == "a\r\nb"
    os.mkfifo(tmp_path / "fifo")
    writing = threading.Thread(target=lambda: (tmp_path / "fifo").write_text("through"))
    writing.start()
    assert read_text(f"{tmp_path}/fifo", "the file") == "through"
    writing.join()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"a\xffb", "not UTF-8 at byte 1"),
        (b"x" * (1024 * 1024 + 1), "longer than 1 MiB"),
    ],
)
def test_what_is_no_reasonable_text_is_refused(tmp_path: Path, raw: bytes, said: str) -> None:
    (tmp_path / "a").write_bytes(raw)
    with pytest.raises(InvalidValue, match=said):
        read_text(f"{tmp_path}/a", "the option file")


def test_an_endless_file_is_refused_at_once() -> None:
    with pytest.raises(InvalidValue, match="longer than 1 MiB"):
        read_text("/dev/zero", "the option file")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=f"could not read the env file {tmp_path}/none"):
        read_text(f"{tmp_path}/none", "the env file")
    with pytest.raises(CesError, match="Is a directory"):
        read_text(str(tmp_path), "the env file")


def test_a_file_that_the_user_may_not_read_is_named_with_what_to_do() -> None:
    def work(place: Path) -> None:
        (place / "a").write_text("x")
        (place / "a").chmod(0)
        with pytest.raises(CesError, match=r"Permission denied\. check its owner and permissions"):
            read_text(f"{place}/a", "the env file")

    as_ordinary_user(work)


def test_json_is_read_or_its_mistake_is_shown_with_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": [1]}))
    assert read_json(str(path), "the policy") == {"a": [1]}
    for text in ("", "{", '{"a": 1,}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(CesError, match=f"could not read the policy {path}"):
            read_json(str(path), "the policy")
    path.write_text('{\n "a": x}')
    with pytest.raises(CesError, match="line 2 column 7"):
        read_json(str(path), "the policy")


# --- directories ---


def test_a_directory_is_made_for_us_alone_whatever_was_there(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "a" / "b"
    assert private_directory(str(path)) == str(path)
    assert mode_of(path) == 0o700
    path.chmod(0o777)
    private_directory(str(path))
    assert mode_of(path) == 0o700


def test_a_directory_of_somebody_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
    with pytest.raises(CesError, match="it belongs to uid"):
        private_directory(str(tmp_path))


def test_a_file_where_the_directory_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for path in ("a", "a/b"):
        with pytest.raises(CesError, match="could not make the directory"):
            private_directory(f"{tmp_path}/{path}")


def test_a_tree_is_removed_also_where_its_owner_made_it_unwritable() -> None:
    def work(place: Path) -> None:
        tree = place / "tree"
        (tree / "a" / "b").mkdir(parents=True)
        (tree / "a" / "b" / "file").touch()
        (tree / "a" / "file").touch()
        (tree / "a" / "b").chmod(0)
        (tree / "a").chmod(0o500)
        remove_tree(str(tree))
        assert not tree.exists()

    as_ordinary_user(work)


def test_removing_an_unwritable_tree_changes_nothing_that_its_links_lead_to() -> None:
    def work(place: Path) -> None:
        (place / "kept").touch(mode=0o400)
        (place / "kept-too").mkdir(mode=0o500)
        tree = place / "tree"
        tree.mkdir()
        (tree / "link").symlink_to(place / "kept")
        (tree / "link-too").symlink_to(place / "kept-too")
        tree.chmod(0o500)
        remove_tree(str(tree))
        assert not tree.exists()
        assert (mode_of(place / "kept"), mode_of(place / "kept-too")) == (0o400, 0o500)

    as_ordinary_user(work)


def test_removing_a_tree_follows_no_link(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o500)
    (tmp_path / "kept-file").touch(mode=0o400)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(kept)
    (tree / "file-link").symlink_to(tmp_path / "kept-file")
    remove_tree(str(tree))
    (tmp_path / "top").symlink_to(kept)
    remove_tree(str(tmp_path / "top"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "kept-file"]
    assert (mode_of(kept), mode_of(tmp_path / "kept-file")) == (0o500, 0o400)


def test_what_others_own_is_left_to_who_can_remove_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "theirs").touch()
    monkeypatch.setattr(trees, "remove", lambda _path: None)
    asked: list[str] = []
    with pytest.raises(CesError, match=f"could not remove {tree}"):
        remove_tree(str(tree), asked.append)
    assert asked == [str(tree)]

    def remove(path: str) -> None:
        (tree / "theirs").unlink()
        os.rmdir(path)

    remove_tree(str(tree), remove)
    assert not tree.exists()


# --- locks between processes ---

HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock until its standard input ends or it is killed."""
    argv = [sys.executable, "-IS", "-c", HOLDER, f"{tmp_path}/lock"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"held\n"
        yield child
        child.kill()


def test_a_lock_that_another_process_holds_is_waited_for(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    waiting: list[str] = []

    def release() -> None:
        eventually(lambda: waiting)
        there(holder.stdin).close()

    releasing = threading.Thread(target=release)
    releasing.start()
    with locked(f"{tmp_path}/lock", waiting.append):
        assert [who.endswith(f" (process {holder.pid})") for who in waiting] == [True]
    releasing.join()


def test_a_lock_that_stays_held_is_an_error_after_the_timeout(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    said = rf"\(process {holder.pid}\) held it for 0\.1 s"
    with pytest.raises(Busy, match=said), locked(f"{tmp_path}/lock", timeout=0.1):
        pass


def test_the_lock_of_a_killed_process_is_free(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    holder.kill()
    holder.wait()
    with locked(f"{tmp_path}/lock", timeout=1):
        pass


def test_a_lock_is_ours_alone_in_the_block_and_free_after_it(tmp_path: Path) -> None:
    path = f"{tmp_path}/lock"
    other = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with locked(path):
            assert not try_lock(other)
            assert mode_of(path) == 0o600
        assert try_lock(other)
        fcntl.flock(other, fcntl.LOCK_UN)
        with pytest.raises(ZeroDivisionError), locked(path):
            raise ZeroDivisionError
        assert try_lock(other)
    finally:
        os.close(other)


def test_a_lock_that_several_users_share_is_theirs_to_write_whatever_the_umask(
    tmp_path: Path, umask: None
) -> None:
    with locked(f"{tmp_path}/lock", mode=0o666):
        assert mode_of(tmp_path / "lock") == 0o666


def test_a_file_that_is_where_a_lock_should_be_keeps_its_mode(tmp_path: Path) -> None:
    """A member of a store's group may have moved a private file of ours there."""
    (tmp_path / "lock").touch(mode=0o600)
    with locked(f"{tmp_path}/lock", mode=0o660):
        assert mode_of(tmp_path / "lock") == 0o600


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CesError, match="could not lock"), locked(f"{tmp_path}/lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()
