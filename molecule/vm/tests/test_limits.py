# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits that were asked for were the kernel's own (limits.yml)."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Machine

USER_SLICE = "/sys/fs/cgroup/user.slice/user-2001.slice/user@2001.service"


def test_the_session_of_the_user_has_every_controller(machine: Machine) -> None:
    controllers = machine.says("cat", f"{USER_SLICE}/cgroup.controllers").split()
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= set(controllers)


def test_more_memory_than_allowed_is_out_of_memory(records: dict[int, dict[str, Any]]) -> None:
    record = records[2]
    assert (record["state"], record["rc"]) == ("OUT_OF_MEMORY", 137)
    assert record["reason"] == "the kernel killed it for lack of memory (its limit was 64MiB)"


def test_no_file_tells_of_it_where_the_user_was(machine: Machine) -> None:
    """podman's monitor writes one where it was started."""
    assert machine.lines("find", "/home/alice", "-xdev", "-name", "oom", user="alice") == []


def test_the_kernel_agrees_that_it_killed_for_lack_of_memory(machine: Machine) -> None:
    journal = ["journalctl", "_TRANSPORT=kernel", "--output=cat"]
    killed = machine.lines(*journal, "--grep=^Memory cgroup out of memory")
    assert killed and all("(dd)" in line for line in killed)
    for reason in machine.lines(*journal, "--grep=^oom-kill:"):
        assert "constraint=CONSTRAINT_MEMCG" in reason
        assert "user@2001.service" in reason


def test_the_same_exit_status_without_the_kernel_is_a_failure(
    records: dict[int, dict[str, Any]],
) -> None:
    assert (records[4]["state"], records[4]["rc"]) == ("FAILED", 137)


def test_the_container_sees_its_limits(log: Any) -> None:
    cpu_max, memory_max = log(3).splitlines()[:2]
    assert cpu_max == "50000 100000"
    assert int(memory_max) == 96 * 1024 * 1024


def test_the_limit_on_cpus_holds_a_busy_container_back(log: Any) -> None:
    (throttled,) = (line for line in log(3).splitlines() if line.startswith("nr_throttled "))
    assert int(throttled.split()[1]) > 0


@pytest.mark.parametrize(("runner", "full", "throttled"), [("apptainer", 9, 10), ("oci", 11, 12)])
def test_under_other_engines_it_is_the_same(
    records: dict[int, dict[str, Any]], log: Any, runner: str, full: int, throttled: int
) -> None:
    assert (records[full]["runner"], records[throttled]["runner"]) == (runner, runner)
    assert (records[full]["state"], records[full]["rc"]) == ("OUT_OF_MEMORY", 137)
    assert (
        records[full]["reason"] == "the kernel killed it for lack of memory (its limit was 64MiB)"
    )
    assert records[throttled]["state"] == "COMPLETED"
    # a container of oci has a cgroup namespace of its own
    own = [line for line in log(throttled).splitlines() if line.startswith("0::")]
    assert own == ["0::/"] if runner == "oci" else "user@2001.service" in own[0]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 8, 9, 10, 11, 12])
def test_no_run_was_warned_of_limits(records: dict[int, dict[str, Any]], number: int) -> None:
    assert records[number]["resources"]["enforced"] is True
    assert records[number]["warnings"] == []
