# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of runs that the machine ended, by shutting down (5) and by losing power (7)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import Machine

USER = "alice"
ENDED = [5, 7]


def test_the_machine_booted_three_times(machine: Machine) -> None:
    boots = json.loads(machine.says("journalctl", "--list-boots", "--output=json"))
    assert len(boots) == 3


def test_only_the_administrator_ever_logged_in(machine: Machine) -> None:
    accepted = machine.lines("journalctl", "--unit=ssh", "--grep=^Accepted", "--output=cat")
    assert {line.split()[3] for line in accepted} == {"provisioner"}


@pytest.mark.parametrize("number", ENDED)
def test_a_run_that_the_machine_ended_is_cancelled(
    records: dict[int, dict[str, Any]], number: int
) -> None:
    record = records[number]
    assert record["state"] == "CANCELLED"
    assert record["ended"] >= record["started"]


def test_the_run_that_was_shut_down_was_told_to_stop(records: dict[int, dict[str, Any]]) -> None:
    assert records[5]["reason"] in ("stopped by SIGTERM", "stopped by SIGHUP")


def test_the_run_that_lost_power_says_so(records: dict[int, dict[str, Any]]) -> None:
    assert records[7]["reason"] == "the process that ran it was killed, or the host went down"


@pytest.mark.parametrize("number", ENDED)
def test_what_it_said_until_then_is_kept(log: Any, number: int) -> None:
    assert "Sleeping, seconds: 3600" in log(number).splitlines()


@pytest.mark.parametrize("number", ENDED)
def test_its_outputs_stay_and_its_scratch_goes(machine: Machine, number: int) -> None:
    assert "safe_outputs.txt" in machine.lines("ls", f"/home/{USER}/outputs-{number}", user=USER)
    assert machine.run("test", "-e", f"/home/{USER}/scratch-{number}", user=USER).rc == 1


def test_the_runs_after_them_completed(records: dict[int, dict[str, Any]]) -> None:
    assert [records[number]["state"] for number in (6, 8)] == ["COMPLETED", "COMPLETED"]
    assert sorted(records)[:12] == list(range(1, 13))


def test_no_container_and_no_dead_run_is_left(machine: Machine) -> None:
    assert machine.lines("podman", "ps", "--all", "--quiet", user=USER) == []
    assert machine.lines("ls", f"/home/{USER}/.local/state/ces/active", user=USER) == []
    assert machine.lines("find", "/run/user/2001/ces", "-name", "run-*", user=USER) == []
