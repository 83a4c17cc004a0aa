# SPDX-License-Identifier: GPL-3.0-or-later
"""What Slurm holds a job to, the job's containers are held to: the kernel's cgroups, in earnest."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from conftest import STATE, USER, Machine
from engines import RUNNERS

IMAGE = "registry.tre.test:5000/tre/shell:1.0"
MEMORY = 200 * 1024**2
ASLEEP = "sleep 4711"
SECONDS = 120
"""An emulated machine takes its time."""


def submit(machine: Machine, *words: str) -> int:
    """A job whose shell calls ``ces-run`` with these words, on one CPU and with 200 MiB."""
    options = ["--parsable", "--mem=200M", "--cpus-per-task=1", "--chdir=/tmp"]
    # not the shell's last command, or the shell might become it
    job = shlex.join(["ces-run", *words]) + "; exit $?"
    return int(machine.says("sbatch", *options, "--output=/dev/null", "--wrap", job, user=USER))


T = TypeVar("T")


def facts(machine: Machine, number: int) -> dict[str, str]:
    said = machine.says("scontrol", "show", "--oneliner", "job", str(number))
    return dict(word.partition("=")[::2] for word in said.split())


def wait_until(true: Callable[[], T], what: str) -> T:
    end = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < end, f"waited {SECONDS} s for {what}"
        time.sleep(1)
    return found


def wait_for_end(machine: Machine, number: int) -> str:
    running = ("PENDING", "RUNNING", "COMPLETING")
    wait_until(lambda: facts(machine, number)["JobState"] not in running, f"job {number} to end")
    return facts(machine, number)["JobState"]


def record_of(machine: Machine, number: int) -> dict[str, Any]:
    """The record of the run that was in this job."""
    runs = json.loads(machine.says("ces-runs", "--json", user=USER))
    (found,) = [run for run in runs if run["slurm_job_id"] == str(number)]
    return dict(found)


def sleepers(machine: Machine) -> list[str]:
    return machine.run("pgrep", "--full", "--exact", ASLEEP).out.split()


def test_slurm_uses_cgroups(machine: Machine) -> None:
    configuration = machine.says("scontrol", "show", "config")
    for wanted in ("proctrack/cgroup", "task/cgroup", "jobacct_gather/cgroup"):
        assert wanted in configuration


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_container_stays_in_its_job_and_ends_with_it(machine: Machine, runner: str) -> None:
    number = submit(machine, runner, IMAGE, f"trap 'echo told; exit 0' TERM; {ASLEEP} & wait")
    (process,) = wait_until(lambda: sleepers(machine), f"the container of job {number}")
    (line,) = machine.lines("cat", f"/proc/{process}/cgroup")
    before, found, _step = line.removeprefix("0::").partition(f"/job_{number}/")
    assert found, line
    job = f"/sys/fs/cgroup{before}/job_{number}"
    assert int(machine.says("cat", f"{job}/memory.max")) == MEMORY
    assert machine.says("cat", f"{job}/cpuset.cpus").strip() in ("0", "1")

    machine.says("scancel", str(number), user=USER)
    assert wait_for_end(machine, number) == "CANCELLED"
    assert sleepers(machine) == []
    assert machine.run("test", "-e", job).rc == 1
    assert machine.lines("podman", "ps", "--all", "--quiet", user=USER) == []
    assert machine.lines("find", "/run/user/2001/ces", "-name", "run-*", user=USER) == []
    assert machine.lines("ls", f"{STATE}/active", user=USER) == []
    record = record_of(machine, number)
    # Slurm told the job's shell alone to end
    assert (record["state"], record["rc"]) == ("CANCELLED", 143)
    assert machine.says("cat", str(record["log"]), user=USER).splitlines()[-1] == "told"
    assert machine.run("test", "-e", str(record["scratch"]), user=USER).rc == 1


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_container_has_the_memory_of_its_job_and_no_more(machine: Machine, runner: str) -> None:
    fill = "exec dd if=/dev/zero of=/dev/null bs=400M count=1"
    number = submit(machine, runner, IMAGE, fill)
    assert wait_for_end(machine, number) in ("OUT_OF_MEMORY", "FAILED")
    record = record_of(machine, number)
    assert (record["state"], record["rc"]) == ("OUT_OF_MEMORY", 137), record
    assert "its limit was 200MiB" in record["reason"]
