# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers clear away after themselves, and after others that were killed."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.images.transfer import (
    sweep_transfers,
    transfer,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import NotFound
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account


@pytest.fixture
def account(tmp_path: Path) -> Account:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    environ = {"XDG_RUNTIME_DIR": str(runtime)}
    return Account("alice", os.geteuid(), str(tmp_path), (), environ)


def test_a_transfer_has_a_private_directory_that_ends_with_it(
    account: Account, tmp_path: Path
) -> None:
    with transfer(str(tmp_path), account) as room:
        assert os.stat(room.directory).st_mode & 0o777 == 0o700
        Path(room.directory, "part").write_text("of a layer")
        sweep_transfers(account)  # ours lives
        assert os.path.exists(room.directory)
    assert sorted(os.listdir(tmp_path)) == ["run"]
    assert os.listdir(account.runtime) == []


def test_a_transfer_that_fails_leaves_nothing(account: Account, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no room"), transfer(str(tmp_path), account) as room:
        Path(room.directory, "part").write_text("of a layer")
        raise OSError("no room")
    assert sorted(os.listdir(tmp_path)) == ["run"]


def test_what_a_killed_pull_left_is_swept_and_its_engine_ended(
    account: Account, tmp_path: Path
) -> None:
    engine = subprocess.Popen(["sleep", "60"], start_new_session=True)
    pid = os.fork()
    if pid == 0:
        with transfer(str(tmp_path), account) as room:
            Path(room.directory, "part").write_text("of a layer")
            stat = Path(f"/proc/{engine.pid}/stat").read_text()
            started = stat.rpartition(")")[2].split()[19]
            Path(room.pid_file).write_text(f"{engine.pid} {started}\n")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    sweep_transfers(account)
    assert engine.wait(10) == -signal.SIGKILL
    assert sorted(os.listdir(tmp_path)) == ["run"]
    assert os.listdir(account.runtime) == []


@pytest.mark.parametrize("variable", ["TMPDIR", "APPTAINER_TMPDIR"])
def test_a_directory_of_another_host_is_named_with_its_variable(
    account: Account, variable: str
) -> None:
    away = replace(account, environ={**account.environ, variable: "/nowhere/job.7"})
    with pytest.raises(NotFound) as error, transfer("/nowhere/job.7", away):
        pass
    assert "could not keep temporary files in /nowhere/job.7" in str(error.value)
    assert f"{variable} names it: unset that" in error.value.hint
    assert not os.path.exists(account.runtime)


def test_a_missing_directory_that_nobody_named_is_the_administrators(account: Account) -> None:
    with pytest.raises(NotFound, match="role container_storage"), transfer("/nowhere/x", account):
        pass


def test_a_directory_for_temporary_files_is_made_where_that_may_be(
    account: Account, tmp_path: Path
) -> None:
    with transfer(str(tmp_path / "job.7"), account) as room:
        assert room.directory.startswith(f"{tmp_path}/job.7/")
