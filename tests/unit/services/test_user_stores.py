# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of directories of users who leave, and of uids that are used again."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from subid_host import host_with, tables

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services import user_stores
from ansible_collections.tre.ces.plugins.module_utils.ces.services.user_stores import (
    Presence,
    Store,
    of_leavers,
    of_others,
    pass_on_ids,
    planned,
    presence,
    settle,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system import owners
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import SystemProcess

PROCESS = SystemProcess()
EVE, CAROL = 2_000_003_003, 2_000_003_004
"""Uids that no process of this machine has."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """eve has the uid that carol had, and carol, who is no account, had two."""
    accounts = {"eve": EVE}

    def account(name: str) -> pwd.struct_passwd | None:
        if name not in accounts:
            return None
        return pwd.struct_passwd((name, "x", accounts[name], 100, "", "/", "/bin/sh"))

    monkeypatch.setattr(user_stores, "account", account)
    monkeypatch.setattr(user_stores, "_LINGERING", str(tmp_path / "linger"))
    monkeypatch.setattr(user_stores, "_LOCKS", str(tmp_path / "locks-{}"))
    monkeypatch.setattr(user_stores, "pass_on_ids", lambda *_given: None)
    for uid in (EVE, CAROL):
        (tmp_path / str(uid) / "storage").mkdir(parents=True)
        owners.note_owner(str(tmp_path), uid, "carol")
        (tmp_path / f"locks-{uid}").touch()
    (tmp_path / "linger").mkdir()
    (tmp_path / "linger/carol").touch()
    return tmp_path


def test_a_uid_that_was_somebody_elses_is_found_with_both_names(root: Path) -> None:
    assert of_others(str(root), ["eve", "nobody.here"], "") == [
        Store(str(root), EVE, "carol", "eve")
    ]
    owners.note_owner(str(root), EVE, "eve")
    assert of_others(str(root), ["eve"], "") == []


def test_what_an_earlier_version_of_the_role_noted_counts(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners.note_owner(str(root), EVE, "")
    assert of_others(str(root), ["eve"], "container_storage") == []
    monkeypatch.setattr(owners, "_WRITTEN_BY_ROLES", f"{root}/tre-ces-{{}}.conf")
    line = f"# carol\nd {root}/{EVE} 0700 {EVE} 100 -\nd {root}/{EVE}/data 0700 {EVE} 100 -\n"
    (root / "tre-ces-container-storage.conf").write_text(line)
    (found,) = of_others(str(root), ["eve"], "container_storage")
    assert found.owner == "carol"


def test_kept_apart_it_is_for_root_alone_and_nothing_is_written_over(root: Path) -> None:
    for number in ("", ".2"):
        (root / str(EVE)).mkdir(exist_ok=True)
        owners.note_owner(str(root), EVE, "carol")
        (store,) = of_others(str(root), ["eve"], "")
        assert planned(store, "keep_apart").kept == f"{root}/kept/carol-{EVE}{number}"
        settle([store], "keep_apart", PROCESS)
    assert (root / "kept").stat().st_mode & 0o777 == 0o700
    assert (root / f"kept/carol-{EVE}/storage").is_dir()
    assert not (root / str(EVE)).exists()
    assert owners.owner_of(str(root), EVE) == ""
    assert not (root / f"locks-{EVE}").exists()
    assert not (root / "linger/carol").exists()


def test_removed_it_is_gone_and_given_it_is_the_others(root: Path) -> None:
    settle(of_others(str(root), ["eve"], ""), "give", PROCESS)
    assert (root / f"{EVE}/storage").is_dir()
    assert owners.owner_of(str(root), EVE) == "eve"
    owners.note_owner(str(root), EVE, "carol")
    settle(of_others(str(root), ["eve"], ""), "remove", PROCESS)
    assert not (root / str(EVE)).exists()
    assert (root / f"{CAROL}/storage").is_dir()


def test_all_of_a_user_who_left_is_found_by_the_name(root: Path) -> None:
    assert sorted(one.uid for one in of_leavers(str(root), ["carol"])) == [EVE, CAROL]
    # what is noted as carol's is not eve's, though eve has the uid
    assert of_leavers(str(root), ["eve"]) == []
    owners.note_owner(str(root), EVE, "")
    assert of_leavers(str(root), ["eve"]) == [Store(str(root), EVE, "eve")]


def test_of_a_user_who_left_no_session_is_kept(root: Path) -> None:
    there = presence(["carol", "eve"], of_leavers(str(root), ["carol"]))
    assert there == Presence([f"{root}/linger/carol"], [])
    there.end(PROCESS)
    assert presence(["carol"], []) == Presence([], [])


def test_a_task_does_not_end_what_it_runs_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_stores, "running", lambda _uid: [os.getppid()])
    with pytest.raises(CesError, match="below one of them"):
        user_stores.end_processes(EVE, PROCESS)


def test_subordinate_ids_go_along_with_the_files_that_belong_to_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "carol:231072:65536\nada:100000:65536\ncaroline:300000:65536\n"
    host = host_with(tmp_path, subuid=text, subgid=text)
    monkeypatch.setattr(user_stores, "account", lambda _name: None)
    pass_on_ids("carol", "caroline", host)
    assert tables(host) == ("caroline:231072:65536\nada:100000:65536\n",) * 2
    pass_on_ids("nobody.here", "ada", host)
    assert tables(host) == ("caroline:231072:65536\nada:100000:65536\n",) * 2
    monkeypatch.setattr(user_stores, "account", lambda _name: pwd.getpwuid(0))
    pass_on_ids("ada", "caroline", host)
    assert tables(host)[0].startswith("caroline:231072")


def test_a_tree_of_any_depth_is_removed(root: Path) -> None:
    here = os.open(root / str(EVE), os.O_RDONLY)
    for _level in range(1_200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (store,) = of_others(str(root), ["eve"], "")
    settle([store], "remove", PROCESS)
    assert not (root / str(EVE)).exists()


def test_a_neighbour_cannot_keep_it_from_being_settled(root: Path) -> None:
    lock = root / f"locks-{EVE}"
    lock.unlink()
    (lock / "below").mkdir(parents=True)
    (store,) = of_others(str(root), ["eve"], "")
    settle([store], "keep_apart", PROCESS)
    assert of_others(str(root), ["eve"], "") == []
    assert not lock.exists()


def test_what_cannot_be_looked_at_is_not_taken_for_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the user has mounted something on it that answers nobody."""
    (store,) = of_others(str(root), ["eve"], "")
    look = os.lstat

    def refuse(path: str, **how: Any) -> os.stat_result:
        if path == store.path:
            raise PermissionError(13, "Permission denied", path)
        return look(path, **how)

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", refuse)
        with pytest.raises(CesError, match="Permission denied"):
            settle([store], "keep_apart", PROCESS)
    assert of_others(str(root), ["eve"], "") == [store]


@pytest.mark.skipif(os.geteuid() != 0, reason="other users' processes are ended")
def test_what_runs_with_the_uid_is_ended_and_nothing_else() -> None:
    words = ["setpriv", f"--reuid={EVE}", "--clear-groups", "sleep", "60"]
    with subprocess.Popen(words) as theirs, subprocess.Popen(["sleep", "60"]) as others:
        user_stores.end_processes(EVE, PROCESS)
        assert theirs.wait(5) == -signal.SIGKILL
        assert others.poll() is None
        others.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="other users' processes are ended")
def test_a_user_who_stops_what_runs_with_their_rights_holds_nobody_up() -> None:
    """One of them would wait for ever: it is root's process, until it has become the user."""
    stops = "import os\nwhile True:\n try: os.kill(-1, 19)\n except OSError: pass\n"
    words = ["setpriv", f"--reuid={EVE}", "--clear-groups", sys.executable, "-c", stops]
    for _try in range(2):
        ours = subprocess.Popen([sys.executable, "-c", ENDS], env=ENVIRON)
        with subprocess.Popen(words) as theirs:
            try:
                assert ours.wait(20) == 0
            finally:
                ours.kill()
                theirs.kill()
            assert theirs.wait(5) == -signal.SIGKILL


ENDS = f"""
import time
from ansible_collections.tre.ces.plugins.module_utils.ces.services import user_stores
while not user_stores.running({EVE}):
    time.sleep(0.01)
time.sleep(0.1)
user_stores._stop_sessions = lambda uid, process: True
user_stores.end_processes({EVE}, None)
"""
ENVIRON = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
