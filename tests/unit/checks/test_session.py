# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a user's session; and how it is found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from telling import POLICY, only, told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.session import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.cgroup import Limiting
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.session import (
    Session,
    look_at_session,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.resources import Limits

GOOD = Session(
    user="ada",
    uid=1001,
    runtime="/run/user/1001",
    named="/run/user/1001",
    bus=True,
    lingers=True,
    systemd=True,
    limiting=Limiting(frozenset({"cpu", "memory", "pids"})),
    in_job=False,
    offered=frozenset({"cpu", "memory", "pids"}),
)
NONE = Limiting(frozenset(), "there is no session")


def test_a_good_session_is_well() -> None:
    assert told(LOOKS, GOOD) == []


def test_where_sessions_are_made_on_demand_none_has_to_last() -> None:
    here = replace(GOOD, lingers=False, on_demand=True)
    assert told(LOOKS, here) == []
    ill = replace(here, runtime="", bus=False)
    found = only(LOOKS, ill, "runtime_directory", "fault", "ada has no session")
    assert "lists ada in podman_users" in found.cure


@pytest.mark.parametrize(
    ("changes", "check", "level", "part"),
    [
        ({"runtime": ""}, "runtime_directory", "fault", "loginctl enable-linger ada"),
        ({"named": ""}, "runtime_named", "note", "is not set"),
        ({"named": "/run/user/0"}, "runtime_named", "note", "is /run/user/0"),
        ({"bus": False}, "user_bus", "warning", "no message bus"),
        ({"locks": "/shm/x", "locks_of": 7}, "podman_locks", "fault", "rm /shm/x"),
        ({"lingers": False}, "lingering", "warning", "nobody is logged in"),
        ({"limiting": NONE}, "limits", "warning", "limits on cpu, memory, pids"),
        ({"steering": ("CONTAINER_HOST",)}, "environment", "note", "CONTAINER_HOST"),
        ({"files": 256}, "ulimits", "warning", "256 open files"),
        ({"processes": 20}, "ulimits", "warning", "20 processes"),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, Any], check: str, level: str, part: str) -> None:
    only(LOOKS, replace(GOOD, **changes), check, level, part)


def test_limits_that_the_site_requires_are_a_fault() -> None:
    policy = replace(POLICY, limits="required", cpus=Limits(2))
    ill = replace(GOOD, limiting=NONE)
    only(LOOKS, ill, "limits", "fault", "so no run starts", policy)
    quiet = replace(POLICY, memory=Limits(), runners=("oci",))
    assert told(LOOKS, ill, quiet) == []


def test_what_the_host_itself_lacks_is_told_of_the_host_alone() -> None:
    ill = replace(GOOD, limiting=NONE, offered=frozenset())
    assert told(LOOKS, ill) == []
    ill = replace(ill, offered=frozenset({"pids"}))
    only(LOOKS, ill, "limits", "warning", "limits on pids are not enforced")


def test_in_a_job_slurm_sets_the_limits() -> None:
    found = only(LOOKS, replace(GOOD, limiting=NONE, in_job=True), "limits", "warning", "memory")
    assert "Slurm" in found.cure


def test_facts_are_read_from_the_host(tmp_path: Path) -> None:
    uid = os.geteuid()
    cgroup = tmp_path / f"sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service"
    for place in (cgroup, tmp_path / "sys/fs/cgroup"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "cgroup.controllers").write_text("memory pids\n")
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "var/lib/systemd/linger").mkdir(parents=True)
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    environ = {"XDG_RUNTIME_DIR": str(runtime), "DOCKER": "", "APPTAINER_BIND": "/x"}
    account = Account("ada", uid, str(tmp_path), (), environ)
    found = look_at_session(account, str(tmp_path))
    assert (found.runtime, found.bus, found.lingers) == (str(runtime), False, False)
    assert not found.on_demand
    assert found.systemd
    assert found.limiting.controllers == found.offered == {"memory", "pids"}
    assert found.steering == ("APPTAINER_BIND",)
    (tmp_path / "var/lib/systemd/linger/ada").touch()
    (runtime / "bus").touch()
    (tmp_path / "run/tre-ces").mkdir()
    (tmp_path / "run/tre-ces/session").touch()
    (tmp_path / "dev/shm").mkdir(parents=True)
    (tmp_path / f"dev/shm/libpod_rootless_lock_{uid}").touch()
    assert found.locks_of == -1
    found = look_at_session(account, str(tmp_path))
    assert (found.bus, found.lingers, found.locks_of) == (True, True, uid)
    assert found.on_demand
    away = replace(account, uid=4_000_000, environ={})
    assert look_at_session(away, str(tmp_path)).runtime == ""
