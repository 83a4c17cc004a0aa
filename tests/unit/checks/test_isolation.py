# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a host that keeps users from namespaces; and how that is found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from recording import RecordingProcess
from telling import POLICY, only, told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.isolation import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.isolation import (
    Isolation,
    hidden_processes,
    look_at_isolation,
)

USERS, NETS = "user.max_user_namespaces", "user.max_net_namespaces"
CLONE = "kernel.unprivileged_userns_clone"
GOOD = Isolation(
    settings={USERS: 28633, NETS: 28633, CLONE: None},
    files={USERS: (), NETS: ("/etc/sysctl.d/90-hard.conf",), CLONE: ()},
    restricted=False,
    profiles=(),
    refused="",
    mappers=(),
    fuse="",
    cgroups="v2",
    controllers=("cpu", "memory", "pids"),
)


@dataclass
class Case:
    changes: dict[str, Any]
    check: str
    level: str
    part: str


CASES = [
    Case({"settings": {USERS: 0}}, "user_namespaces", "fault", USERS),
    Case({"settings": {CLONE: 0}}, "user_namespaces", "fault", CLONE),
    Case({"settings": {NETS: 0}}, "net_namespaces", "fault", "set in /etc/sysctl.d/90-hard.conf"),
    Case({"refused": "unshare: no"}, "namespaces_made", "fault", "unshare: no"),
    Case({"mappers": ("/usr/bin/newuidmap is missing",)}, "id_mappers", "fault", "newuidmap"),
    Case({"cgroups": "hybrid"}, "cgroup_version", "fault", "side by side"),
    Case({"cgroups": "v1"}, "cgroup_version", "warning", "limits on cpu, memory, pids"),
    Case({"controllers": ("pids",)}, "controllers", "warning", "limits on cpu, memory are not"),
    Case({"fuse": "/dev/fuse is missing"}, "fuse", "fault", "apptainer"),
    Case({"hidden": "invisible"}, "hidden_processes", "note", "hidepid=invisible"),
    Case({"keys": (195, 200)}, "kernel_keys", "warning", "195 of 200"),
    Case({"keys": (200, 200)}, "kernel_keys", "fault", "Disk quota"),
    Case({"restricted": True, "profiles": ("podman",)}, "apparmor", "fault", "apptainer"),
    Case(
        {"restricted": True, "profiles": ("tre-ces-apptainer",)}, "apparmor", "fault", "and podman"
    ),
]


def test_a_good_host_is_well() -> None:
    assert told(LOOKS, GOOD) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.check} {case.part}")
def test_what_is_wrong_is_told(case: Case) -> None:
    only(LOOKS, replace(GOOD, **case.changes), case.check, case.level, case.part)


def test_what_no_allowed_engine_needs_is_no_fault() -> None:
    policy = replace(POLICY, runners=("oci",))
    assert told(LOOKS, replace(GOOD, mappers=("x is missing",)), policy) == []
    assert told(LOOKS, replace(GOOD, restricted=True), policy) == []
    only(LOOKS, replace(GOOD, fuse="/dev/fuse is missing"), "fuse", "note", "podman", policy)


@pytest.mark.parametrize("changes", [{"controllers": ("pids",)}, {"cgroups": "v1"}])
def test_a_site_that_requires_limits_cannot_have_such_a_host(changes: dict[str, Any]) -> None:
    policy = replace(POLICY, limits="required")
    (found,) = told(LOOKS, replace(GOOD, **changes), policy)
    assert (found.level, "so no run starts" in found.said) == ("fault", True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        f"proc/sys/{USERS.replace('.', '/')}": "0\n",
        "proc/self/mountinfo": "22 1 0:5 / /proc rw,nosuid - proc proc rw,hidepid=invisible\n",
        "proc/key-users": f"    0: 90 89/89 67/1000000 1355/25000000\n{os.geteuid() or 7:5d}:"
        "     4 4/4 199/200 9/20000\n",
        "etc/sysctl.d/10-site.conf": f"{USERS} = 0\n",
        "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_facts_are_read_from_the_kernel(root: Path) -> None:
    process = RecordingProcess()
    process.answer("unshare", 1, stderr="unshare: unshare failed: No space left on device\n")
    found = look_at_isolation(os.geteuid() or 7, process, str(root))
    assert found.settings[USERS] == 0
    assert found.files[USERS] == (f"{root}/etc/sysctl.d/10-site.conf",)
    assert found.refused == "unshare: unshare failed: No space left on device"
    assert len(found.mappers) == 2
    assert found.fuse.endswith("/dev/fuse is missing")
    assert (found.cgroups, found.hidden, found.keys) == ("v2", "invisible", (199, 200))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("22 1 0:5 / /proc rw - proc proc rw,hidepid=2\n", "2"),
        ("22 1 0:5 / /proc rw - proc proc rw,hidepid=0\n", ""),
        ("22 1 0:5 / /proc rw - proc proc rw\n", ""),
        ("22 1 0:5 / /srv/proc rw - proc proc rw,hidepid=2\n", ""),
        ("", ""),
    ],
)
def test_hidden_processes(tmp_path: Path, table: str, said: str) -> None:
    (tmp_path / "mountinfo").write_text(table)
    assert hidden_processes(str(tmp_path / "mountinfo")) == said
