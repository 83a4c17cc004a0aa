# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of subordinate ids, the settings around them, and the locks of shadow-utils."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import Busy, CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system.subids import (
    LoginDefs,
    SubidHost,
)


@pytest.fixture
def host(tmp_path: Path) -> SubidHost:
    return SubidHost(str(tmp_path), patience=0.1)


def dead_pid() -> int:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


@contextmanager
def somebody_holding(etc: str) -> Iterator[int]:
    """Another process holds the locks in the block, unless it is killed."""
    holding, told = os.pipe()
    child = os.fork()
    if child == 0:
        with SubidHost(etc).locked():
            os.write(told, b"x")
            signal.pause()
    assert os.read(holding, 1) == b"x"
    try:
        yield child
    finally:
        kill(child)


def kill(child: int) -> None:
    """Kill a child and see it off, so that its id is nobody's any more."""
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def test_defaults_of_login_defs(host: SubidHost) -> None:
    defs = host.login_defs()
    assert defs["SUB_UID_MIN"] == defs["SUB_GID_MIN"] == 100000
    assert defs["SUB_UID_MAX"] == defs["SUB_GID_MAX"] == 600100000
    assert (defs["UID_MIN"], defs["UID_MAX"]) == (1000, 60000)


def test_login_defs_as_shadow_utils_read_them() -> None:
    text = (
        "# SUB_UID_MIN 1\n\n  SUB_UID_MIN\t 0x20000 \n"
        'SUB_UID_MAX 1\nSUB_UID_MAX "4000000000"\nUID_MIN\n'
    )
    defs = LoginDefs.parse(text, "/etc/login.defs")
    assert (defs["SUB_UID_MIN"], defs["SUB_UID_MAX"], defs["UID_MIN"]) == (131072, 4000000000, 1000)


def test_login_defs_with_no_number_name_the_setting() -> None:
    with pytest.raises(CesError, match=r"SUB_UID_MAX in /etc/login\.defs.*'lots' is no number"):
        LoginDefs.parse("SUB_UID_MAX lots\n", "/etc/login.defs")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (None, "files"),
        ("passwd: files sss\n", "files"),
        ("subid: files\n", "files"),
        ("subid: files sss\n", "files"),
        ("subid:sss\n", "sss"),
        ("subid: sss files\n", "sss"),
        ("SubID:\tsss\n", "sss"),
        ("#subid: sss\n", "files"),
        ("subid:\nsubid: sss\n", "sss"),
        ("subid: files\nsubid: sss\n", "files"),
    ],
)
def test_source(host: SubidHost, text: str | None, source: str) -> None:
    if text is not None:
        Path(host.etc, "nsswitch.conf").write_text(text)
    assert host.source() == source


def test_a_file_that_is_not_there_is_empty(host: SubidHost) -> None:
    assert host.read("uid") == ""


def test_bytes_that_are_no_utf8_survive(host: SubidHost) -> None:
    raw = b"# \xff\xfe\r\nalice:100000:65536\n"
    Path(host.path("uid")).write_bytes(raw)
    host.write("uid", host.read("uid"))
    assert Path(host.path("uid")).read_bytes() == raw


def test_everybody_may_read_what_was_written(host: SubidHost) -> None:
    before = os.umask(0o077)
    try:
        host.write("gid", "alice:100000:65536\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(host.path("gid")).st_mode) == 0o644
    assert os.listdir(host.etc) == ["subgid"]


def test_a_symbolic_link_is_refused(host: SubidHost) -> None:
    os.symlink("elsewhere", host.path("uid"))
    with pytest.raises(CesError, match="symbolic link"):
        host.read("uid")


def test_locks_are_those_of_shadow_utils_and_are_given_back(host: SubidHost) -> None:
    with host.locked():
        for name in ("subuid.lock", "subgid.lock"):
            lock = Path(host.etc, name)
            assert lock.read_bytes() == f"{os.getpid()}\0".encode()
            assert lock.stat().st_nlink == 1
            assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    assert os.listdir(host.etc) == [".pwd.lock"]


def test_locks_are_given_back_after_an_error(host: SubidHost) -> None:
    with pytest.raises(RuntimeError), host.locked():
        raise RuntimeError
    assert os.listdir(host.etc) == [".pwd.lock"]


def test_who_waits_too_long_is_told(host: SubidHost) -> None:
    with (
        somebody_holding(host.etc),
        pytest.raises(Busy, match=r"\.pwd\.lock.* held it for 0\.1 s"),
        host.locked(),
    ):
        pass
    with host.locked():  # and afterwards it works
        pass


def test_the_lock_file_of_a_living_process_is_respected(host: SubidHost) -> None:
    """As an old useradd, built without the lock on the password files, would hold it."""
    lock = Path(host.etc, "subgid.lock")
    lock.write_text(f"{os.getppid()}\0")
    holder = rf"process {os.getppid()} held it.* remove .*subgid\.lock"
    with pytest.raises(Busy, match=holder), host.locked():
        pass
    assert lock.read_text() == f"{os.getppid()}\0"
    assert sorted(os.listdir(host.etc)) == [".pwd.lock", "subgid.lock"]


@pytest.mark.parametrize("text", ["", "\0", "nobody\0", "-1\0", "0\0"])
def test_a_lock_file_without_a_process_is_left_to_a_person(host: SubidHost, text: str) -> None:
    Path(host.etc, "subuid.lock").write_text(text)
    holder = r"somebody else held it.*remove .*subuid\.lock"
    with pytest.raises(Busy, match=holder), host.locked():
        pass


@pytest.mark.parametrize("pid", [dead_pid, os.getpid])
def test_the_lock_file_of_a_dead_process_is_taken_over(
    host: SubidHost, pid: Callable[[], int]
) -> None:
    Path(host.etc, "subuid.lock").write_text(f"{pid()}\0")
    with host.locked():
        assert Path(host.etc, "subuid.lock").read_bytes() == f"{os.getpid()}\0".encode()


def test_locks_of_a_killed_holder_are_taken_over(host: SubidHost) -> None:
    with somebody_holding(host.etc) as pid:
        kill(pid)
        assert Path(host.etc, "subuid.lock").exists()
        with host.locked():
            pass
    assert os.listdir(host.etc) == [".pwd.lock"]


def test_a_directory_that_is_not_ours_to_write(tmp_path: Path) -> None:
    nowhere = SubidHost(str(tmp_path / "none"))
    with pytest.raises(CesError, match=r"lock .*/none/\.pwd\.lock|only root may"), nowhere.locked():
        pass
