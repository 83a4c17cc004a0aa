# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of jobs share: a cluster's answers, and a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recording import REGISTRY, BackEnd

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.services import job_follow, jobs
from ansible_collections.tre.ces.plugins.module_utils.ces.system.allocation import Allocation
from ansible_collections.tre.ces.plugins.module_utils.ces.system.cgroup import Limiting
from ansible_collections.tre.ces.plugins.module_utils.ces.system.system import System
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.job import JobSpec
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    RunSpec,
)

NAME = f"{REGISTRY}/app:1"
SPEC = RunSpec(ImageRef.parse(NAME), "podman")
JOB = JobSpec()
DOWN = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
FAST = 0.001
"""Seconds between two questions, where the other side answers at once."""


def queue(backend: BackEnd, *rows: str) -> None:
    """From now on this is what squeue says."""
    backend.process.answer("squeue", stdout="".join(f"{row}\n" for row in rows))


def shown(backend: BackEnd, state: str, reason: str = "None", code: str = "0:0") -> None:
    """From now on Slurm says that the job has ended so."""
    queue(backend, f"40|{state}|{reason}|node1")
    facts = f"JobState={state} Reason={reason} ExitCode={code} RunTime=00:00:03 NodeList=node1"
    backend.process.answer("scontrol", stdout=f"JobId=40 {facts} BatchHost=node1\n")


def on_node(
    backend: BackEnd, job_id: str = "40", raw_id: str | None = None, **facts: Any
) -> System:
    """The back-end as a node has it, in a job."""
    allocation = Allocation(job_id, raw_id or job_id, **facts)
    limiting = Limiting(frozenset({"cpu", "memory"}))
    return replace(backend.system, allocation=allocation, host="node1", limiting=limiting)


def state_of(backend: BackEnd) -> Path:
    return backend.home / ".local/state/ces"


def followed(ready: BackEnd, **options: Any) -> job_follow.JobEnd:
    (end,) = job_follow.follow(
        jobs.submit_run(SPEC, JOB, ready.system), ready.system, FAST, **options
    )
    return end
