# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that are followed to their end, whatever Slurm says or does not say. No Slurm runs here."""

from __future__ import annotations

import time

import pytest
from recording import BackEnd
from slurm_jobs import DOWN, FAST, JOB, SPEC, on_node, queue, shown, state_of
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import job_follow, jobs
from ansible_collections.tre.ces.plugins.module_utils.ces.services.clean import sweep
from ansible_collections.tre.ces.plugins.module_utils.ces.services.runs import (
    list_runs,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.job import JobSpec

GONE = "slurm_load_jobs error: Invalid job id specified\n"


def test_following_ends_with_the_nodes_record_and_slurms_facts(ready: BackEnd) -> None:
    def start(command: Command, _streams: Streams) -> Finished:
        if ready.system.records.load(1).state == "PENDING":
            jobs.run_job(1, on_node(ready))
            shown(ready, "COMPLETED")
        return Finished(command.argv, 0, "40|RUNNING|None|node1\n")

    submitted = jobs.submit_run(SPEC, JOB, ready.system)
    ready.process.then("squeue", start)
    (end,) = job_follow.follow(submitted, ready.system, FAST)
    assert end.ran.record.state == "COMPLETED"
    assert end.facts == {
        "job_id": "40",
        "state": "COMPLETED",
        "reason": "",
        "node": "node1",
        "exit_code": "0:0",
        "elapsed": "00:00:03",
        "max_memory": "",
        "log": f"{state_of(ready)}/runs/1/slurm.log",
    }


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("TIMEOUT", "TIMEOUT"),
        ("DEADLINE", "TIMEOUT"),
        ("CANCELLED", "CANCELLED"),
        ("NODE_FAIL", "NODE_FAIL"),
        ("FAILED", "CANCELLED"),
        ("RUNNING", "CANCELLED"),
        (None, "CANCELLED"),
    ],
)
def test_slurm_knows_why_it_stopped_a_run_that_knows_only_that_it_was_stopped(
    ready: BackEnd, said: str | None, state: str
) -> None:
    def stopped(command: Command, _streams: Streams) -> Finished:
        return Finished(command.argv, 143, stopped_by="SIGTERM")

    submitted = jobs.submit_run(SPEC, JOB, ready.system)
    ready.process.then("podman run", stopped)
    jobs.run_job(1, on_node(ready, end=time.time() + 3600))
    if said is None:
        ready.process.answer("scontrol", 1, stderr=GONE)
    else:
        shown(ready, said)
    (end,) = job_follow.follow(submitted, ready.system, FAST)
    assert (end.ran.record.state, end.facts["state"]) == (state, said or "")
    assert ready.system.records.load(1).state == "CANCELLED"


def test_slurm_may_say_a_moment_later_than_the_record_that_a_job_is_over(ready: BackEnd) -> None:
    def over_at_the_second_look(_command: Command, _streams: Streams) -> Finished:
        job = "JobState=RUNNING ExitCode=0:0 BatchHost=node1"
        shown(ready, "COMPLETED")
        return Finished((), 0, f"JobId=40 {job}\n")

    submitted = jobs.submit_run(SPEC, JOB, ready.system)
    jobs.run_job(1, on_node(ready))
    ready.process.then("scontrol", over_at_the_second_look)
    (end,) = job_follow.follow(submitted, ready.system, FAST)
    assert end.facts["state"] == "COMPLETED"


def test_following_gives_back_the_end_of_what_the_container_said(
    ready: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(command: Command, streams: Streams) -> Finished:
        with open(there(streams.log), "wb") as log:
            log.write(b"first line\nlast \xff line\n")
        return Finished(command.argv, 0)

    monkeypatch.setattr(job_follow, "TAIL", 12)
    ready.process.then("podman run", say)
    submitted = jobs.submit_run(SPEC, JOB, ready.system)
    jobs.run_job(1, on_node(ready))
    shown(ready, "COMPLETED")
    (end,) = job_follow.follow(submitted, ready.system, FAST)
    assert (end.ran.stdout, end.ran.stderr) == ("last \ufffd line\n", "")


def test_following_an_array_asks_for_each_task_by_its_own_number(ready: BackEnd) -> None:
    submitted = jobs.submit_run(SPEC, JobSpec(array="0,2"), ready.system)
    shown(ready, "COMPLETED")
    for task in ("0", "2"):
        jobs.run_job(1, on_node(ready, f"40_{task}", f"4{task}", task=task))
    ends = job_follow.follow(submitted, ready.system, FAST)
    assert [end.facts["job_id"] for end in ends] == ["40_0", "40_2"]
    logs = [f"{state_of(ready)}/runs/1/slurm-{task}.log" for task in (0, 2)]
    assert [end.facts["log"] for end in ends] == logs
    assert ready.process.told("scontrol")[-1][-1] == "40_2"


ENDS = [
    # what Slurm says of a job that never said a word itself; state, exit status, reason
    (("CANCELLED", "None", "0:0"), "CANCELLED", 143, "the job was cancelled before it started"),
    (("TIMEOUT", "TimeLimit", "0:15"), "TIMEOUT", 124, "time that Slurm gave"),
    (("NODE_FAIL", "None", "1:0"), "NODE_FAIL", 1, "the node node1 failed"),
    (("BOOT_FAIL", "None", "0:0"), "NODE_FAIL", 125, "the node node1 failed"),
    (("OUT_OF_MEMORY", "OutOfMemory", "0:125"), "OUT_OF_MEMORY", 137, "lack of memory"),
    (("FAILED", "NonZeroExitCode", "127:0"), "FAILED", 127, "is the home directory shared"),
    (("FAILED", "RaisedSignal:9", "0:9"), "FAILED", 137, "RaisedSignal:9"),
    (("COMPLETED", "None", "0:0"), "FAILED", 125, "ended before the run began"),
    (("DEADLINE", "None", "0:0"), "TIMEOUT", 124, "DEADLINE"),
    (("PREEMPTED", "None", "0:0"), "CANCELLED", 143, "PREEMPTED"),
]


@pytest.mark.parametrize(("said", "state", "rc", "reason"), ENDS)
def test_a_job_that_ends_without_a_word_ends_as_slurm_says(
    ready: BackEnd, said: tuple[str, ...], state: str, rc: int, reason: str
) -> None:
    submitted = jobs.submit_run(SPEC, JOB, ready.system)
    shown(ready, *said)
    (end,) = job_follow.follow(submitted, ready.system, FAST)
    record = ready.system.records.load(1)
    assert (record.state, record.rc) == (state, rc)
    assert reason in record.reason
    assert (end.ran.record.state, end.facts["state"]) == (state, said[0])
    assert not (state_of(ready) / "runs/1/job.json").exists()
    assert list((state_of(ready) / "jobs").iterdir()) == []


def test_a_controller_that_is_away_is_waited_for_and_said_once(ready: BackEnd) -> None:
    answers = [1, 1, 1]

    def away(command: Command, _streams: Streams) -> Finished:
        if answers.pop():
            if not answers:
                shown(ready, "CANCELLED")
            return Finished(command.argv, 1, "", DOWN)
        raise AssertionError

    submitted = jobs.submit_run(SPEC, JOB, ready.system)
    ready.process.then("squeue", away)
    (end,) = job_follow.follow(submitted, ready.system, FAST)
    assert end.ran.record.state == "CANCELLED"
    assert len([line for line in ready.said if "Unable to contact" in line]) == 1


def test_a_job_that_slurm_has_forgotten_does_not_keep_us(ready: BackEnd) -> None:
    submitted = jobs.submit_run(SPEC, JOB, ready.system)
    for program in ("squeue", "scontrol"):
        ready.process.answer(program, 1, stderr=GONE)
    (end,) = job_follow.follow(submitted, ready.system, FAST)
    assert end.ran.record.state == "CANCELLED"
    assert "Slurm has forgotten the job" in end.ran.record.reason


def test_a_node_that_cannot_be_reached_does_not_keep_us(ready: BackEnd) -> None:
    """Its process may go on and holds the run: Slurm's word is given back, the record stays."""
    submitted = jobs.submit_run(SPEC, JOB, ready.system)
    process = ready.system.records.claim(1)
    record = ready.system.records.load(1)
    record.state, record.host = "RUNNING", "node1"
    there(process).save(record)
    shown(ready, "NODE_FAIL", "None", "1:0")
    (end,) = job_follow.follow(submitted, ready.system, FAST)
    assert end.ran.record.state == "NODE_FAIL"
    assert ready.system.records.load(1).state == "RUNNING"
    there(process).release()


def test_who_swept_without_knowing_is_corrected_by_slurm(ready: BackEnd) -> None:
    """The node's epilog clears away after a job that was killed, and cannot say why it was."""
    submitted = jobs.submit_run(SPEC, JOB, ready.system)
    process = ready.system.records.claim(1)
    record = ready.system.records.load(1)
    record.state, record.host, record.scratch_created = "RUNNING", "node1", True
    there(process).save(record)
    (ready.home / "scratch-1").mkdir()
    there(process).release()
    node = on_node(ready)
    assert sweep(node, "41") == []
    assert [record.state for record in sweep(node, "40")] == ["CANCELLED"]
    assert not (ready.home / "scratch-1").exists()
    shown(ready, "OUT_OF_MEMORY", "OutOfMemory", "0:125")
    (end,) = job_follow.follow(submitted, ready.system, FAST)
    assert (end.ran.record.state, end.ran.record.rc) == ("OUT_OF_MEMORY", 137)


@pytest.mark.parametrize("created", [True, False])
@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_job_that_ends_without_a_word_takes_only_a_scratch_of_ours_with_it(
    ready: BackEnd, created: bool, state: str
) -> None:
    """The caller's own directory is never removed, whoever clears away."""
    jobs.submit_run(SPEC, JOB, ready.system)
    process = ready.system.records.claim(1)
    record = ready.system.records.load(1)
    record.state, record.slurm_job_id, record.scratch_created = state, None, created
    there(process).save(record)
    there(process).release()
    scratch = ready.home / "scratch-1"
    assert record.scratch == str(scratch)
    scratch.mkdir()
    (scratch / "a-weeks-work").touch()
    shown(ready, "NODE_FAIL", "None", "1:0")
    (closed,) = list_runs(ready.system)
    assert (closed.state, closed.slurm_job_id) == ("NODE_FAIL", "40")
    assert (scratch / "a-weeks-work").exists() is not created


@pytest.mark.parametrize("created", [True, False])
def test_a_scratch_that_cannot_be_removed_is_a_warning_in_the_record(
    ready: BackEnd, monkeypatch: pytest.MonkeyPatch, created: bool
) -> None:
    def refuse(_path: str) -> None:
        raise CesError("remove the directory", said="device busy")

    monkeypatch.setattr(job_follow, "remove_tree", refuse)
    jobs.submit_run(SPEC, JOB, ready.system)
    process = ready.system.records.claim(1)
    record = ready.system.records.load(1)
    record.state, record.scratch_created = "RUNNING", created
    there(process).save(record)
    there(process).release()
    (ready.home / "scratch-1").mkdir()
    shown(ready, "NODE_FAIL", "None", "1:0")
    (closed,) = list_runs(ready.system)
    assert [*closed.warnings] == ["could not remove the directory: device busy"][: int(created)]


def test_a_job_that_turns_out_to_be_hopeless_while_it_is_followed_is_cancelled(
    ready: BackEnd,
) -> None:
    submitted = jobs.submit_run(SPEC, JOB, ready.system)
    queue(ready, "40|PENDING|PartitionTimeLimit|")
    (end,) = job_follow.follow(submitted, ready.system, FAST)
    assert ("scancel", "40") in ready.process.told("scancel")
    assert (end.ran.record.state, end.ran.record.rc) == ("FAILED", 125)
    assert "longer than the partition allows" in end.ran.record.reason
