# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs us, where their things are, and what engines are told of it."""

from __future__ import annotations

import json
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system import account as account_module
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.cgroup import limiting_for
from ansible_collections.tre.ces.plugins.module_utils.ces.system.owners import note_owner


def account(home: str, **environ: str) -> Account:
    return Account("ada", os.geteuid(), str(home), ("ada",), environ)


def test_the_current_user_is_the_one_of_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "somebody-else")
    current = Account.current()
    assert (current.uid, current.home) == (os.geteuid(), str(tmp_path))
    assert current.name == pwd.getpwuid(os.geteuid()).pw_name
    assert current.groups


@pytest.mark.parametrize("home", ["", "/", "/nonexistent", "/etc/passwd"])
def test_a_home_that_is_not_the_users_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    assert Account.current().home == pwd.getpwuid(65534).pw_dir


def test_a_user_without_an_account_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 2_999_999)
    with pytest.raises(CesError, match="could not find user 2999999"):
        Account.current()


@pytest.mark.parametrize(
    ("environ", "state"),
    [
        ({}, "/home/ada/.local/state/ces"),
        ({"XDG_STATE_HOME": "/x"}, "/x/ces"),
        ({"XDG_STATE_HOME": ""}, "/home/ada/.local/state/ces"),
        ({"XDG_STATE_HOME": "relative"}, "/home/ada/.local/state/ces"),
    ],
)
def test_state_is_where_the_base_directory_specification_says(
    environ: dict[str, str], state: str
) -> None:
    assert account("/home/ada", **environ).state == state


def test_the_runtime_directory_is_private_whatever_it_was(tmp_path: Path) -> None:
    ada = account("/home/ada", XDG_RUNTIME_DIR=str(tmp_path))
    (tmp_path / "ces").mkdir(mode=0o777)
    assert ada.make_runtime() == ada.runtime == f"{tmp_path}/ces"
    assert stat.S_IMODE((tmp_path / "ces").stat().st_mode) == 0o700


def test_the_runtime_directory_is_made_by_who_says_so_and_not_by_who_reads_its_name(
    tmp_path: Path,
) -> None:
    ada = account("/home/ada", XDG_RUNTIME_DIR=str(tmp_path))
    assert (ada.runtime, ada.private_for(7)) == (f"{tmp_path}/ces", f"{tmp_path}/ces/run-7")
    assert os.listdir(tmp_path) == []
    ada.make_runtime()
    assert os.listdir(tmp_path) == ["ces"]


def test_a_runtime_directory_that_another_user_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ces").mkdir()
    ada = account("/home/ada", XDG_RUNTIME_DIR=str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: ada.uid + 1)
    with pytest.raises(CesError, match="it belongs to uid"):
        ada.make_runtime()


@pytest.mark.parametrize("named", ["", "relative", "/nonexistent", "/etc/passwd"])
def test_without_a_session_the_reason_and_the_cure_are_said(named: str) -> None:
    ada = Account("ada", 2_999_999, "/home/ada", (), {"XDG_RUNTIME_DIR": named})
    for what in ("runtime", "runtime_base", "engine_environ"):
        with pytest.raises(CesError, match="enable-linger ada") as caught:
            getattr(ada, what)
        assert "no /run/user/2999999" in str(caught.value)


def test_another_users_runtime_directory_is_not_used(tmp_path: Path) -> None:
    ada = Account("ada", os.geteuid() + 1, "/home/ada", (), {"XDG_RUNTIME_DIR": str(tmp_path)})
    with pytest.raises(CesError):
        assert not ada.runtime_base


def test_engines_get_the_users_home_and_session(tmp_path: Path) -> None:
    environ = account("/home/ada", HOME="/root", XDG_RUNTIME_DIR=str(tmp_path)).engine_environ
    assert environ["HOME"] == "/home/ada"
    assert environ["XDG_RUNTIME_DIR"] == str(tmp_path)
    assert environ["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert "DBUS_SESSION_BUS_ADDRESS" not in environ


def test_engines_get_the_sessions_bus_and_never_another_users(tmp_path: Path) -> None:
    (tmp_path / "bus").touch()
    bus = f"unix:path={tmp_path}/bus"
    for environ, expected in (
        ({"XDG_RUNTIME_DIR": str(tmp_path)}, bus),
        ({"XDG_RUNTIME_DIR": str(tmp_path), "DBUS_SESSION_BUS_ADDRESS": "unix:x"}, "unix:x"),
    ):
        given = account("/home/ada", **environ).engine_environ
        assert given["DBUS_SESSION_BUS_ADDRESS"] == expected


@pytest.mark.parametrize(
    "name",
    [
        *("APPTAINER_BIND", "APPTAINER_BINDPATH", "APPTAINER_NV", "APPTAINER_ADD_CAPS"),
        *("APPTAINERENV_X", "SINGULARITY_BIND", "SINGULARITYENV_X"),
        *("CONTAINER_HOST", "CONTAINER_CONNECTION", "PODMAN_USERNS"),
    ],
)
def test_a_users_variables_do_not_steer_engines(tmp_path: Path, name: str) -> None:
    ada = account("/home/ada", XDG_RUNTIME_DIR=str(tmp_path), **{name: "/:/host"})
    assert name not in ada.engine_environ


@pytest.mark.parametrize("own_storage", [False, True])
def test_engines_data_is_where_the_role_made_a_place_unless_the_user_decides_on_storage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own_storage: bool
) -> None:
    (tmp_path / "said.json").write_text(json.dumps({"storage_root": str(tmp_path)}))
    place = (("XDG_DATA_HOME", str(tmp_path / "said.json"), "data"),)
    monkeypatch.setattr(account_module, "LOCAL_DIRECTORIES", place)

    def ada() -> Account:
        return account(str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path))

    data = tmp_path / str(ada().uid) / "data"
    assert "XDG_DATA_HOME" not in ada().engine_environ
    data.mkdir(parents=True)
    if own_storage:
        (tmp_path / ".config/containers").mkdir(parents=True)
        (tmp_path / ".config/containers/storage.conf").touch()
    assert ada().engine_environ.get("XDG_DATA_HOME") == (None if own_storage else str(data))


def test_what_was_made_for_another_user_of_that_uid_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "said.json").write_text(json.dumps({"storage_root": str(tmp_path)}))
    place = (("XDG_DATA_HOME", str(tmp_path / "said.json"), "data"),)
    monkeypatch.setattr(account_module, "LOCAL_DIRECTORIES", place)
    ada = account("/home/ada", XDG_RUNTIME_DIR=str(tmp_path))
    note_owner(str(tmp_path), ada.uid, ada.name)
    assert ada.engine_environ["HOME"] == "/home/ada"
    note_owner(str(tmp_path), ada.uid, "carol")
    with pytest.raises(CesError, match=f"{ada.uid} was made for carol"):
        assert account("/home/ada", XDG_RUNTIME_DIR=str(tmp_path)).engine_environ


def test_the_accounts_facts_win_over_the_environment_in_references(tmp_path: Path) -> None:
    ada = account("/home/ada", HOME="/root", USER="root", UID="0", CES_X="x")
    assert ada.variables["CES_X"] == "x"
    assert ada.variables["HOME"] == "/home/ada"
    assert (ada.variables["USER"], ada.variables["LOGNAME"]) == ("ada", "ada")
    assert ada.variables["UID"] == str(os.geteuid())


# --- what the kernel lets a user limit ---


@pytest.fixture
def cgroups(tmp_path: Path) -> Callable[..., None]:
    """A file tree as cgroup v2 has it."""

    def make(path: str, controllers: str) -> None:
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
        (tmp_path / path / "cgroup.controllers").write_text(f"{controllers}\n")

    return make


SESSION = "user.slice/user-1000.slice/user@1000.service"


@pytest.mark.parametrize(
    ("everywhere", "delegated", "uid", "controllers", "reason"),
    [
        (None, None, 1000, set(), "cgroup v1"),
        (None, None, 0, set(), "cgroup v1"),
        ("cpu memory pids", None, 0, {"cpu", "memory", "pids"}, ""),
        ("cpu memory pids", None, 1000, set(), "no systemd session"),
        ("cpu memory pids", "", 1000, set(), "not delegated"),
        ("cpu memory pids", "memory pids", 1000, {"memory", "pids"}, "not delegated"),
        ("cpu memory pids", "cpu memory pids", 1000, {"cpu", "memory", "pids"}, ""),
    ],
)
def test_a_user_can_limit_what_is_delegated_and_is_told_why_not_more(
    tmp_path: Path,
    cgroups: Callable[..., None],
    everywhere: str | None,
    delegated: str | None,
    uid: int,
    controllers: set[str],
    reason: str,
) -> None:
    for path, words in ((".", everywhere), (SESSION, delegated)):
        if words is not None:
            cgroups(path, words)
    limiting = limiting_for(uid, str(tmp_path))
    assert limiting.controllers == controllers
    assert reason in limiting.reason
