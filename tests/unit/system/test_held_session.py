# SPDX-License-Identifier: GPL-3.0-or-later
"""A session that lasts as long as whoever asked for it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system import account as account_module
from ansible_collections.tre.ces.plugins.module_utils.ces.system import held_session
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.child import LEFT_OPEN, start
from ansible_collections.tre.ces.plugins.module_utils.ces.system.held_session import hold_session

UID = 2001
CRON = "0::/system.slice/cron.service\n"
Serve = Callable[[bytes], list[socket.socket]]


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    held: dict[int, tuple[object, str]] = {}
    monkeypatch.setattr(held_session, "_outcomes", held)
    yield
    for connection, _reason in held.values():
        if isinstance(connection, socket.socket):
            LEFT_OPEN.discard(connection.fileno())
            connection.close()


@pytest.fixture
def at(tmp_path: Path) -> str:
    return str(tmp_path / "session")


@pytest.fixture
def cron(tmp_path: Path) -> str:
    """The cgroup of a process that nobody opened a session for."""
    (tmp_path / "cgroup").write_text(CRON)
    return str(tmp_path / "cgroup")


@pytest.fixture
def serve(at: str) -> Iterator[Serve]:
    """``serve(WORDS)``: answer each connection with them; the connections so far."""
    listener = socket.socket(socket.AF_UNIX)
    taken: list[socket.socket] = []

    def begin(words: bytes) -> list[socket.socket]:
        listener.bind(at)
        listener.listen()

        def answer() -> None:
            while True:
                try:
                    connection, _address = listener.accept()
                except OSError:
                    return
                taken.append(connection)
                connection.sendall(words)
                if words != b"ready\n":
                    connection.close()

        threading.Thread(target=answer, daemon=True).start()
        return taken

    yield begin
    listener.close()
    for connection in taken:
        connection.close()


def test_one_session_is_held_for_all_that_a_process_does(serve: Serve, at: str, cron: str) -> None:
    taken = serve(b"ready\n")
    assert [hold_session(UID, at, cron) for _time in range(3)] == [""] * 3
    assert len(taken) == 1
    # a process that has become another user has one of its own
    assert hold_session(UID + 1, at, cron) == ""
    assert len(taken) == 2


def test_programs_that_we_start_hold_it_too(serve: Serve, at: str, cron: str) -> None:
    """It is not over while they live, also when we are killed."""
    taken = serve(b"ready\n")
    assert hold_session(UID, at, cron) == ""
    child = start(("cat",), {"PATH": os.environ["PATH"]}, told=True)
    connection = held_session._outcomes.pop(UID)[0]
    assert isinstance(connection, socket.socket)
    LEFT_OPEN.discard(connection.fileno())
    connection.close()
    (server,) = taken
    server.settimeout(0.1)
    with pytest.raises(TimeoutError):
        server.recv(1)
    child.tell("")
    assert child.wait(5)
    child.close()
    server.settimeout(5)
    assert server.recv(1) == b""


@pytest.mark.parametrize(
    ("cgroup", "asks"),
    [
        (CRON, True),
        (f"0::/user.slice/user-{UID}.slice/user@{UID}.service/app.slice/a.service\n", True),
        ("0::/user.slice/user-0.slice/session-4.scope\n", True),
        (f"0::/user.slice/user-{UID}.slice/session-4.scope\n", False),
        (f"1:name=systemd:/user.slice/user-{UID}.slice/session-c4.scope\n0::/\n", False),
    ],
)
def test_a_process_of_the_users_own_login_needs_no_other(
    serve: Serve, at: str, tmp_path: Path, cgroup: str, asks: bool
) -> None:
    taken = serve(b"ready\n")
    (tmp_path / "cgroup").write_text(cgroup)
    assert hold_session(UID, at, str(tmp_path / "cgroup")) == ""
    assert len(taken) == asks


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (b"the site does not let ada\n", "the site does not let ada"),
        (b"", "the host opens no session for this user"),
    ],
)
def test_why_there_is_none(serve: Serve, at: str, cron: str, words: bytes, reason: str) -> None:
    serve(words)
    assert hold_session(UID, at, cron).startswith(reason)
    assert hold_session(UID, at, cron).startswith(reason)


def test_nobody_listens(at: str, cron: str) -> None:
    assert hold_session(UID, at, cron) == f"{at} does not answer: No such file or directory"


def test_an_account_has_a_session_where_they_are_made_on_demand(
    serve: Serve, at: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken = serve(b"no\n")
    monkeypatch.setattr(account_module, "ON_DEMAND", at)
    ada = Account("ada", 2_999_999, "/home/ada", (), {})
    with pytest.raises(CesError, match="lists ada in podman_users") as caught:
        ada.runtime_base  # noqa: B018
    assert caught.value.said == "there is no /run/user/2999999: no"
    # root has its own things, and a job has what its prolog made
    held_session._outcomes.clear()
    job = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n"}
    monkeypatch.setattr(account_module, "_belongs_to", lambda path, uid: True)
    Account("root", 0, "/root", (), {}).runtime_base  # noqa: B018
    Account("ada", 2_999_999, "/home/ada", (), job).runtime_base  # noqa: B018
    assert len(taken) == 1
