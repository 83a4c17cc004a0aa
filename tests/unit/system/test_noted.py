# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of what roles wrote, where several runs of roles meet on a host."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import Busy, CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host import noted
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.applied_files import (
    AppliedFiles,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.kept_files import KeptFiles
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.noted import alone_with

FORK = get_context("fork")


def write(directory: str, number: int) -> None:
    """What file_set does of a file that nobody else has."""
    with alone_with(directory, check=False):
        files, programs = KeptFiles(directory), AppliedFiles(directory)
        files.note(f"/etc/{number}", "text")
        programs.apply({f"/etc/{number}": "text"})
        time.sleep(0.01)
        files.save()


def at_once(work: Callable[..., None], calls: list[tuple[object, ...]]) -> None:
    children = [FORK.Process(target=work, args=args) for args in calls]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * len(calls)


def test_runs_at_once_lose_nothing_of_the_lists(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    at_once(write, [(str(kept), number) for number in range(12)])
    wanted = {f"/etc/{number}" for number in range(12)}
    assert set(json.loads((kept / "written.json").read_text())) == wanted
    assert set(json.loads((kept / "applied.json").read_text())) == wanted


def write_and_take_back(directory: str, number: int) -> None:
    """Whoever comes last removes the directory, while others wait for its lock."""
    write(directory, number)
    with alone_with(directory, check=False):
        files = KeptFiles(directory)
        files.forget(f"/etc/{number}")
        files.save()
        if not files.entries:
            AppliedFiles(directory).forget()


def test_a_directory_that_goes_while_others_wait_for_it_is_made_again(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    at_once(write_and_take_back, [(str(kept), number) for number in range(12)])
    assert not kept.exists()


def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noted, "PATIENCE", 0.2)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        refused = pytest.raises(Busy, match=f"could not lock {tmp_path}: .* held it for 0.2 s")
        with refused, alone_with(str(tmp_path), check=False):
            raise AssertionError
        # who changes nothing does not wait
        with alone_with(str(tmp_path), check=True):
            pass
    finally:
        os.close(descriptor)


def test_a_directory_that_is_removed_at_any_moment_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for it and its making, and between that and its opening."""
    kept, makedirs = tmp_path / "kept", os.makedirs
    moments = iter(["looked", "made"])

    def make(path: str, mode: int, exist_ok: bool) -> None:
        moment = next(moments, "")
        if moment == "looked":
            raise FileExistsError(17, "File exists", path)
        makedirs(path, mode, exist_ok)
        if moment == "made":
            os.rmdir(path)

    monkeypatch.setattr(os, "makedirs", make)
    with alone_with(str(kept), check=False):
        assert kept.is_dir()
    assert next(moments, "") == ""


def test_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(CesError, match="kept"), alone_with(str(tmp_path / "kept"), check=False):
        raise AssertionError


def test_an_empty_directory_does_not_stay(tmp_path: Path) -> None:
    with alone_with(str(tmp_path / "kept"), check=False):
        assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "kept").exists()
