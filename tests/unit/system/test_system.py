# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines are given of the session that holds a user's limits."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.tre.ces.plugins.module_utils.ces.system.system import with_own_bus

BUS = "DBUS_SESSION_BUS_ADDRESS"


def test_no_bus_of_a_users_own_takes_the_limits_away(tmp_path: Path) -> None:
    (tmp_path / "1000").mkdir()
    (tmp_path / "1000/bus").touch()
    ours = {"A": "1", BUS: f"unix:path={tmp_path}/1000/bus"}
    for theirs in ({}, {BUS: "unix:path=/nonexistent"}, {BUS: "tcp:host=localhost,port=9"}):
        assert with_own_bus({"A": "1", **theirs}, 1000, str(tmp_path)) == ours


def test_where_the_user_has_no_systemd_the_environment_stays(tmp_path: Path) -> None:
    theirs = {BUS: "unix:path=/elsewhere"}
    assert with_own_bus(theirs, 1000, str(tmp_path)) == theirs
