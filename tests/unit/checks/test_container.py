# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a container that was seen: what does not hold, and what could not be seen."""

from __future__ import annotations

from typing import Any

import pytest
from telling import POLICY, told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.container import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.checks.look import findings_of
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.values.seen import Seen

GIB = 1024**3
GOOD = Seen(
    user="ada",
    uid=1001,
    engine="podman",
    heard=True,
    id_map=((0, 1001, 1), (1, 100000, 65536)),
    ranged=True,
    owner=1001,
    arrived=True,
    readable=("/safe_data", "/safe_outputs", "/scratch"),
    written=("/safe_data", "/safe_outputs", "/scratch"),
    cpus=1.0,
    memory=4 * GIB,
    seen_cpus=1.0,
    seen_memory=4 * GIB,
    status=37,
    rc=37,
    state="FAILED",
    closed=True,
)
READ_ONLY = {"data_access": "ro", "written": ("/safe_outputs", "/scratch")}


def said(**changes: Any) -> dict[str, str]:
    return {one.check: one.said for one in findings_of(LOOKS, replace(GOOD, **changes), POLICY)}


@pytest.mark.parametrize("changes", [{}, READ_ONLY, {"cpus": None, "memory": None}])
def test_a_container_that_keeps_the_contract_is_well(changes: dict[str, Any]) -> None:
    assert told(LOOKS, replace(GOOD, **changes)) == []


@pytest.mark.parametrize(
    ("changes", "check", "level", "part"),
    [
        ({"heard": False}, "container", "fault", "nothing of what it wrote"),
        ({"owner": 101000}, "user", "fault", "belongs to uid 101000"),
        ({"owner": None}, "user", "fault", "no such file"),
        ({"id_map": ((0, 0, 4294967295),)}, "user", "fault", "root of the host exists"),
        ({"id_map": ((0, 100000, 65536),)}, "user", "fault", "own id does not exist"),
        ({"id_map": ((0, 1001, 1),)}, "ids", "fault", "has 1 ids"),
        ({"no_project": "ada has no project"}, "safe_data", "warning", "ada has no project"),
        ({"readable": ()}, "safe_data", "fault", "cannot read /safe_data"),
        ({"data_access": "ro"}, "safe_data", "fault", "wrote to /safe_data"),
        (READ_ONLY | {"data_access": "rw"}, "safe_data", "fault", "and the container cannot"),
        ({"may_write": False}, "safe_data", "fault", "the user cannot write"),
        ({"arrived": False}, "safe_outputs", "fault", "did not arrive"),
        ({"written": ("/safe_data", "/safe_outputs")}, "scratch", "fault", "/scratch"),
        ({"enforced": False, "unenforced": "cgroup v1"}, "limits", "warning", "cgroup v1"),
        ({"seen_cpus": None, "seen_memory": None}, "limits", "warning", "saw no limit"),
        ({"seen_memory": 8 * GIB}, "limits", "fault", "saw 1 CPU and 8GiB"),
        ({"seen_cpus": None}, "limits", "fault", "the container saw 4GiB of memory"),
        ({"in_job": True}, "limits", "note", "Slurm limits the job"),
        ({"interfaces": ("eth0",)}, "network", "fault", "interfaces eth0, 0 routes"),
        ({"routes": 1}, "network", "fault", "1 routes"),
        ({"network": "host"}, "network", "note", "network is host"),
        ({"gpus": ("/dev/nvidia1",)}, "gpus", "fault", "not its own: /dev/nvidia1"),
        ({"given": ("/dev/nvidia0",)}, "gpus", "fault", "cannot use /dev/nvidia0, which it"),
        ({"given": None}, "gpus", "note", "can use no GPU: no CDI specification says"),
        ({"rc": 0}, "exit_status", "fault", "ended with 37, and 0 came through"),
        ({"closed": False}, "record", "fault", "is open"),
        ({"state": "COMPLETED"}, "record", "fault", "says COMPLETED"),
        ({"left": ("the directory /x is left",)}, "left_behind", "fault", "/x is left"),
    ],
)
def test_what_does_not_hold_is_told(
    changes: dict[str, Any], check: str, level: str, part: str
) -> None:
    found = told(LOOKS, replace(GOOD, **changes))
    assert [(one.check, one.level) for one in found] == [(check, level)]
    assert part in found[0].said
    assert found[0].cure or level != "fault"


def test_without_a_container_nothing_else_counts_as_proved() -> None:
    ill = Seen("ada", 1001, "podman", refused="could not run: no range", cure="role subid")
    first, *others = findings_of(LOOKS, ill, POLICY)
    assert (first.level, first.said, first.cure) == (
        "fault",
        "could not run: no range",
        "role subid",
    )
    assert {one.level for one in others if one.check != "left_behind"} == {"note"}
    assert len(others) == len(LOOKS) - 1


def test_what_was_seen_is_said_where_it_is_well() -> None:
    assert said()["limits"] == "1 CPU and 4GiB of memory, seen from inside"
    assert said()["gpus"] == "the container asked for no GPU, and can use none"
    both = ("/dev/nvidia1", "/dev/nvidia0")
    assert said(gpus=both, given=both)["gpus"] == (
        "the container can use /dev/nvidia0, /dev/nvidia1, and no other GPU"
    )
    assert said()["ids"] == "the container has 65537 ids"
    assert "needs no more" in said(ranged=False, id_map=((0, 1001, 1),))["ids"]
    assert said()["safe_data"] == "the container can read and write /safe_data"
    assert "read-only" in said(**READ_ONLY)["safe_data"]
    nobody = {"may_write": False, "written": ("/safe_outputs", "/scratch")}
    assert "the user may not write there, either" in said(**nobody)["safe_data"]
