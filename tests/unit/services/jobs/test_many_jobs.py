# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs in arrays, and jobs that are listed and stopped. No Slurm runs here."""

from __future__ import annotations

import pytest
from recording import BackEnd
from slurm_jobs import DOWN, JOB, SPEC, on_node, queue, shown, state_of

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    Busy,
    CesError,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import job_follow, jobs
from ansible_collections.tre.ces.plugins.module_utils.ces.services.runs import (
    list_runs,
    look_up,
    stop_run,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.job import JobSpec
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Directories,
)


def test_each_task_of_an_array_is_a_run_that_knows_its_number(ready: BackEnd) -> None:
    queue(ready, *(f"40_{task}|PENDING|Priority|" for task in (0, 2)))
    submitted = jobs.submit_run(SPEC, JobSpec(array="0,2%1"), ready.system)
    assert [r.slurm_job_id for r in submitted.records] == ["40_0", "40_2"]
    (argv,) = ready.process.told("sbatch")
    assert "--array=0,2%1" in argv
    assert f"--output={state_of(ready)}/runs/1/slurm-%a.log" in argv
    seen: list[str] = []

    def look(command: Command, _streams: Streams) -> Finished:
        number = len(seen) + 1
        seen.append((ready.place / f"run/ces/run-{number}/env").read_text())
        return Finished(command.argv, 0)

    ready.process.then("podman run", look)
    for task, raw in (("0", "41"), ("2", "40")):
        jobs.run_job(1, on_node(ready, f"40_{task}", raw, task=task))
    assert seen == [f"CES_ARRAY_INDEX={t}\nSLURM_ARRAY_TASK_ID={t}\n" for t in (0, 2)]
    records = [ready.system.records.load(number) for number in (1, 2)]
    assert [(r.slurm_job_id, r.slurm_raw_id) for r in records] == [("40_0", "41"), ("40_2", "40")]
    assert {r.state for r in records} == {"COMPLETED"}


def test_an_arrays_tasks_share_no_directory(ready: BackEnd) -> None:
    shared = replace(SPEC, directories=Directories(outputs=f"{ready.home}/mine"))
    with pytest.raises(CesError, match=r"its tasks would share .*/mine"):
        jobs.submit_run(shared, JobSpec(array="0-1"), ready.system)


def test_a_task_that_was_cancelled_while_it_was_pending_keeps_no_other_run_open(
    ready: BackEnd,
) -> None:
    """scontrol answers for it on standard output alone, with status 1; the queue knows it."""
    jobs.submit_run(SPEC, JobSpec(array="0,2"), ready.system)
    queue(ready, "40_0|CANCELLED|JobHeldUser|", "40_2|FAILED|None|node1")
    shown_alone = "JobState=FAILED Reason=None ExitCode=3:0 BatchHost=node1"
    ready.process.answer("scontrol", stdout=f"JobId=41 {shown_alone}\n")
    missing = "scontrol --oneliner show job 40_0"
    ready.process.answer(missing, 1, stdout="Job 40_0 not found\n")
    second, first = list_runs(ready.system)
    assert (first.state, first.rc) == ("CANCELLED", 143)
    assert first.reason.startswith("the job was cancelled before it started (Slurm: CANCELLED")
    assert (second.state, second.rc) == ("FAILED", 3)
    assert list((state_of(ready) / "jobs").iterdir()) == []
    assert ready.said == []


def test_why_a_job_waits_is_listed_and_not_written(ready: BackEnd) -> None:
    jobs.submit_run(SPEC, JOB, ready.system)
    assert [record.reason for record in list_runs(ready.system)] == ["Priority"]
    assert look_up(1, ready.system).reason == "Priority"
    assert ready.system.records.load(1).reason == ""


def test_runs_whose_job_is_gone_are_closed_when_somebody_looks(ready: BackEnd) -> None:
    jobs.submit_run(SPEC, JOB, ready.system)
    shown(ready, "NODE_FAIL", "None", "1:0")
    assert [record.state for record in list_runs(ready.system, state="NODE_FAIL")] == ["NODE_FAIL"]
    assert list_runs(ready.system, state="PENDING") == []


def test_a_silent_controller_is_a_warning_to_who_lists(ready: BackEnd) -> None:
    jobs.submit_run(SPEC, JOB, ready.system)
    ready.process.answer("squeue", 1, stderr=DOWN)
    assert [record.state for record in list_runs(ready.system)] == ["PENDING"]
    assert any("Unable to contact" in line for line in ready.said)


def test_who_has_no_jobs_asks_nobody(ready: BackEnd) -> None:
    assert list_runs(ready.system) == []
    assert ready.process.told("squeue") == []


def test_a_queued_run_is_stopped_by_cancelling_its_job(ready: BackEnd) -> None:
    jobs.submit_run(SPEC, JOB, ready.system)

    def cancel(command: Command, _streams: Streams) -> Finished:
        shown(ready, "CANCELLED")
        return Finished(command.argv, 0)

    ready.process.then("scancel 40", cancel)
    record = stop_run(1, ready.system)
    assert (record.state, record.rc) == ("CANCELLED", 143)


def test_a_run_that_is_just_being_submitted_cannot_be_stopped_yet(ready: BackEnd) -> None:
    run = ready.system.records.open()
    run.save(RunRecord(run.run_id, state="PENDING", scheduler="slurm"))
    with pytest.raises(CesError, match=r"could not stop run 1: it is just being submitted"):
        stop_run(1, ready.system)
    assert ready.process.told("scancel") == []
    run.finish()


def test_a_job_that_stays_after_it_was_cancelled_is_told(
    ready: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_follow, "_STOPPING", 0.01)
    jobs.submit_run(SPEC, JOB, ready.system)
    queue(ready, "40|COMPLETING|None|node1")
    with pytest.raises(Busy, match=r"job 40 is still there .* after scancel"):
        stop_run(1, ready.system)
    assert ready.process.told("scancel") == [("scancel", "40")]
