# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process knows of the Slurm job that it is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system import allocation
from ansible_collections.tre.ces.plugins.module_utils.ces.system.allocation import Allocation

JOB = {"SLURM_JOB_ID": "12", "SLURMD_NODENAME": "node1"}
TASK = {**JOB, "SLURM_ARRAY_JOB_ID": "10", "SLURM_ARRAY_TASK_ID": "3"}


def test_a_job_and_a_task_of_an_array_are_called_as_slurms_commands_call_them() -> None:
    assert (Allocation.of(JOB).job_id, Allocation.of(JOB).raw_id) == ("12", "12")
    task = Allocation.of(TASK)
    assert (task.job_id, task.raw_id, task.task) == ("10_3", "12", "3")


@pytest.mark.parametrize(
    ("text", "end"),
    [("1769868000", 1769868000.0), ("", None), ("x", None), ("\u00b2", None), ("9" * 400, None)],
)
def test_when_the_time_of_a_job_is_over(text: str, end: float | None) -> None:
    assert Allocation.of({**JOB, "SLURM_JOB_END_TIME": text}).end == end


@pytest.mark.parametrize(
    ("files", "held"),
    [
        ({}, set()),
        ({"memory.max": "max\n", "cpuset.cpus": "\n"}, set()),
        ({"memory.max": "524288000\n", "cpuset.cpus": "0-1\n"}, {"memory", "cpu"}),
        ({"memory.max": "524288000\n"}, {"memory"}),
    ],
)
def test_what_holds_a_job_is_read_off_its_cgroup(
    tmp_path: Path, files: dict[str, str], held: set[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    job = Allocation("12", "12", cgroup=str(tmp_path))
    assert job.limiting.controllers == held
    assert "task/cgroup" in job.limiting.reason


@pytest.mark.parametrize(
    ("listed", "cpus"), [("0", 1), ("3-3", 1), ("0-3,7\n", 5), ("0-1,4-5,9", 5), ("", None)]
)
def test_how_much_a_job_has_is_read_off_its_cgroup(
    tmp_path: Path, listed: str, cpus: int | None
) -> None:
    (tmp_path / "cpuset.cpus").write_text(listed)
    (tmp_path / "memory.max").write_text("524288000\n")
    job = Allocation("12", "12", cgroup=str(tmp_path))
    assert (job.cpus, job.memory) == (cpus, 524288000)
    assert (Allocation("12", "12").cpus, Allocation("12", "12").memory) == (None, None)


def test_without_a_cgroup_of_the_job_nothing_holds_it() -> None:
    assert Allocation("12", "12").limiting.controllers == frozenset()
    assert Allocation("12", "12").oom_kills() == 0


def test_processes_that_the_kernel_killed_are_counted(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("oom 3\noom_kill 2\n")
    assert Allocation("12", "12", cgroup=str(tmp_path)).oom_kills() == 2


@pytest.mark.parametrize(
    ("path", "owner", "found"),
    [
        ("/system.slice/slurmstepd.scope/job_12/step_batch/user/task_0", 0, True),
        ("/system.slice/slurmstepd.scope/job_12/step_batch/user/task_0", 1000, False),
        ("/system.slice/slurmstepd.scope/job_123/step_batch", 0, False),
        ("/user.slice/user-1000.slice", 0, False),
    ],
)
def test_the_jobs_cgroup_is_above_ours_and_is_roots(
    in_cgroups: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    owner: int,
    found: bool,
) -> None:
    monkeypatch.setattr(allocation, "_owner", lambda _path: owner)
    place = in_cgroups(f"9:name=systemd:/\n0::{path}\n")
    directory = place / "system.slice/slurmstepd.scope/job_12"
    directory.mkdir(parents=True)
    job = Allocation.of(JOB, str(place))
    assert job.cgroup == (str(directory) if found else "")


@pytest.fixture
def in_cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    def put(text: str) -> Path:
        cgroup = tmp_path / "cgroup"
        cgroup.write_text(text)
        monkeypatch.setattr(allocation, "_TABLE", str(cgroup))
        return tmp_path

    return put


@pytest.mark.parametrize(
    ("text", "outside"),
    [
        ("0::/user.slice/user-1000.slice/session-3.scope\n", True),
        ("0::/user.slice/user-1000.slice/user@1000.service/job_12/step_0\n", True),
        ("1:name=systemd:/user.slice/user-1000.slice/session-3.scope\n0::/\n", True),
        # users name cgroups below their own
        ("0::/user.slice/user-1000.slice/user@1000.service/x\r0::/system.slice/y\n", True),
        ("0::/system.slice/slurmstepd.scope/job_12/step_batch\n", False),
        ("1:name=systemd:/system.slice/slurmd.service\n0::/system.slice/slurmd.service\n", False),
        ("0::/\n", False),
        ("", False),
        ("nonsense\n", False),
    ],
)
def test_whoever_sets_slurms_variables_in_a_session_is_in_no_job(
    in_cgroups: Callable[..., Path], text: str, outside: bool
) -> None:
    in_cgroups(text)
    assert Allocation.of(JOB).outside is outside
