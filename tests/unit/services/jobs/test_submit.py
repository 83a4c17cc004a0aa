# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are handed to Slurm: what waits, what it is told, what it refuses. No Slurm runs."""

from __future__ import annotations

import json
import stat
from typing import Any, NoReturn

import pytest
from recording import BackEnd
from slurm_jobs import DOWN, JOB, NAME, SPEC, on_node, queue, state_of

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import job_follow, jobs
from ansible_collections.tre.ces.plugins.module_utils.ces.services.clean import sweep
from ansible_collections.tre.ces.plugins.module_utils.ces.services.jobs import Submitted
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import run_container
from ansible_collections.tre.ces.plugins.module_utils.ces.services.session import session
from ansible_collections.tre.ces.plugins.module_utils.ces.system.job_files import JobFiles
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.system.records import ActiveRun
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.job import JobSpec
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Credentials,
    Directories,
)


def submit_and_consider(backend: BackEnd) -> Submitted:
    """What a playbook's task does."""
    submitted = jobs.submit_run(SPEC, JOB, backend.system)
    job_follow.refuse_what_never_starts(submitted, backend.system)
    return submitted


def test_a_run_that_is_submitted_waits_as_a_record_and_a_private_file(ready: BackEnd) -> None:
    submitted = jobs.submit_run(replace(SPEC, args=("-x",), cpus=1.5), JOB, ready.system)
    record = ready.system.records.load(1)
    assert (record.state, record.scheduler, record.slurm_job_id) == ("PENDING", "slurm", "40")
    assert (record.host, record.rc, record.started) == ("", None, None)
    assert (submitted.job_id, submitted.records[0].run_id) == ("40", 1)
    (argv,) = ready.process.told("sbatch")
    assert {"--cpus-per-task=2", "--mem=4096M", "--job-name=app:1"} <= set(argv)
    private = state_of(ready) / "runs/1/job.json"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert json.loads(private.read_text())["args"] == ["-x"]
    assert ready.system.records.active() == []
    assert not (ready.home / "outputs-1").exists()


def test_slurm_is_told_nothing_of_a_run_but_its_number_and_its_images_name(ready: BackEnd) -> None:
    spec = replace(
        SPEC,
        args=("s3cret-argument",),
        env={"TOKEN": "s3cret"},
        credentials=Credentials("ada", "s3cret-password"),
    )
    jobs.submit_run(spec, JOB, ready.system)
    for command in ready.process.commands:
        assert "s3cret" not in repr((command.argv, dict(command.env), command.stdin))
    record = (state_of(ready) / "runs/1/run.json").read_text()
    assert "s3cret" not in record
    assert "s3cret" not in " ".join(ready.said)


def test_the_job_runs_the_run_as_it_was_asked_for_and_its_secrets_go_first(ready: BackEnd) -> None:
    seen: dict[str, Any] = {}
    spec = replace(SPEC, args=("-x", "a b"), env={"TOKEN": "s3cret"}, memory="1GiB")

    def look(command: Command, streams: Streams) -> Finished:
        seen["private"] = (state_of(ready) / "runs/1/job.json").exists()
        seen["env"] = (ready.place / "run/ces/run-1/env").read_text()
        seen["record"] = ready.system.records.load(1)
        return Finished(command.argv, 0)

    ready.process.then("podman run", look)
    jobs.submit_run(spec, JOB, ready.system)
    ran = jobs.run_job(1, on_node(ready))
    (argv,) = ready.process.told("podman run")
    assert "--cgroups=disabled" in argv
    assert not any(word.startswith(("--memory", "--cpus")) for word in argv)
    assert argv[-3:] == (NAME, "-x", "a b")
    assert (seen["private"], seen["env"]) == (False, "TOKEN=s3cret\n")
    assert (seen["record"].state, seen["record"].host) == ("RUNNING", "node1")
    assert ran.record.resources["enforced_by"] == "slurm"
    record = ready.system.records.load(1)
    assert (record.state, record.rc, record.scheduler) == ("COMPLETED", 0, "slurm")
    assert "s3cret" not in ready.everything_written()
    assert list((state_of(ready) / "jobs").iterdir()) == []
    assert ready.system.records.active() == []
    assert (ready.home / "outputs-1").is_dir()
    assert not (ready.home / "scratch-1").exists()


@pytest.mark.parametrize("asked", [None, "2GiB", "100MiB"])
def test_in_a_job_the_memory_is_the_jobs(ready: BackEnd, asked: str | None) -> None:
    """A job with 500 MiB, whatever the policy's default or the run itself says."""
    held = ready.place / "job_40"
    held.mkdir()
    (held / "memory.max").write_text("524288000\n")
    (held / "cpuset.cpus").write_text("0-2\n")
    (held / "memory.events").write_text("oom_kill 0\n")

    def be_killed(_command: Command, _streams: Streams) -> Finished:
        (held / "memory.events").write_text("oom_kill 1\n")
        return Finished((), 137)

    ready.process.then("podman run", be_killed)
    record = run_container(replace(SPEC, memory=asked), on_node(ready, cgroup=str(held))).record
    assert (record.state, record.rc) == ("OUT_OF_MEMORY", 137)
    assert record.reason.endswith("(its limit was 500MiB)")
    assert (record.resources["memory"], record.resources["cpus"]) == (524288000, 3)
    warned = [text for text in record.warnings if "less than the 2GiB asked for" in text]
    assert bool(warned) == (asked == "2GiB")


def test_choices_of_the_submitting_shell_reach_the_job(ready: BackEnd) -> None:
    environ = {**ready.system.account.environ, "CES_SAFE_OUTPUTS": f"{ready.home}/mine"}
    system = replace(ready.system, account=replace(ready.system.account, environ=environ))
    jobs.submit_run(SPEC, JOB, system)
    jobs.run_job(1, on_node(ready))
    assert ready.system.records.load(1).outputs == f"{ready.home}/mine"


def test_what_is_refused_before_is_not_submitted(ready: BackEnd) -> None:
    outside = replace(SPEC, directories=Directories(outputs="/etc"))
    with pytest.raises(RefusedByPolicy):
        jobs.submit_run(outside, JOB, ready.system)
    assert ready.process.told("sbatch") == []
    assert not state_of(ready).exists()


def test_what_slurm_refuses_is_a_failed_run_without_a_private_file(ready: BackEnd) -> None:
    ready.process.answer("sbatch", 1, stderr="sbatch: error: Invalid qos specification\n")
    with pytest.raises(CesError, match=r"could not submit app:1: Invalid qos"):
        jobs.submit_run(SPEC, JOB, ready.system)
    record = ready.system.records.load(1)
    assert (record.state, record.rc) == ("FAILED", 125)
    assert "Invalid qos" in record.reason
    assert not (state_of(ready) / "runs/1/job.json").exists()
    assert ready.system.records.active() == []


def test_an_array_of_which_a_record_cannot_be_written_leaves_nothing_to_slurm(
    ready: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(files: JobFiles, number: int, run: dict[str, Any]) -> None:
        if number == 2:
            raise CesError("write the run", said="the disk is full")
        left(files, number, run)

    left = JobFiles.leave
    monkeypatch.setattr(JobFiles, "leave", leave)
    with pytest.raises(CesError, match="the disk is full"):
        jobs.submit_run(replace(SPEC, env={"A": "s3cret"}), JobSpec(array="0-2"), ready.system)
    assert [ready.system.records.load(number).state for number in (1, 2)] == ["FAILED"] * 2
    assert ready.process.told("sbatch") == []
    assert ready.system.records.active() == []
    assert "s3cret" not in ready.everything_written()


def test_a_controller_that_is_away_after_a_submission_is_no_reason_to_give_up(
    ready: BackEnd,
) -> None:
    ready.process.answer("squeue", 1, stderr=DOWN)
    assert submit_and_consider(ready).job_id == "40"
    assert ready.process.told("scancel") == []
    assert ready.system.records.load(1).state == "PENDING"


def test_slurm_gets_a_moment_to_say_why_a_job_has_not_started(
    ready: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["40|PENDING|PartitionTimeLimit|\n", "40|PENDING|None|\n"]
    ready.process.then("squeue", lambda command, _s: Finished(command.argv, 0, said.pop()))
    monkeypatch.setattr(job_follow, "_CONSIDERING", (0, 0, 0))
    with pytest.raises(CesError, match=r"longer than the partition allows"):
        submit_and_consider(ready)
    assert said == []


def test_a_job_that_would_wait_for_ever_is_cancelled_at_once(ready: BackEnd) -> None:
    queue(ready, "40|PENDING|PartitionTimeLimit|")
    with pytest.raises(CesError, match=r"longer than the partition allows"):
        submit_and_consider(ready)
    assert ready.process.told("scancel") == [("scancel", "40")]
    record = ready.system.records.load(1)
    assert (record.state, record.rc) == ("FAILED", 125)
    assert "PartitionTimeLimit" in record.reason


def test_a_submission_that_died_is_swept_with_its_secrets(
    ready: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_words: object) -> NoReturn:
        raise KeyboardInterrupt

    # as if killed: nothing is tidied up
    monkeypatch.setattr(jobs, "_give_up", lambda *words: None)
    ready.process.then("sbatch", die)
    with pytest.raises(KeyboardInterrupt):
        jobs.submit_run(replace(SPEC, env={"A": "s3cret"}), JOB, ready.system)
    assert "s3cret" in ready.everything_written()
    assert [record.state for record in sweep(ready.system)] == ["CANCELLED"]
    assert "s3cret" not in ready.everything_written()


def test_a_submission_that_died_when_slurm_had_it_is_left_to_the_job(
    ready: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActiveRun, "hand_over", lambda run, record: run.release())
    jobs.submit_run(SPEC, JOB, ready.system)
    monkeypatch.undo()
    assert ready.system.records.active() == [1]
    assert sweep(ready.system) == []
    record = ready.system.records.load(1)
    assert (record.state, record.slurm_job_id, record.host) == ("PENDING", "40", "")
    assert jobs.run_job(1, on_node(ready)).record.state == "COMPLETED"


def test_a_job_sweeps_away_no_submission_that_died_before_it_wrote_the_job_down(
    ready: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm has the job, which may start on this very host before anybody else looks."""

    def die(*_words: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(JobFiles, "expect", die)
    with pytest.raises(KeyboardInterrupt):
        jobs.submit_run(SPEC, JOB, ready.system)
    monkeypatch.undo()
    node = replace(on_node(ready), host=ready.system.host)
    with session(node):
        assert jobs.run_job(1, node).record.state == "COMPLETED"


def test_a_run_that_is_queued_is_nothing_that_a_sweep_takes_for_dead(ready: BackEnd) -> None:
    jobs.submit_run(SPEC, JOB, ready.system)
    assert sweep(ready.system) == []
    assert sweep(on_node(ready)) == []
    assert ready.system.records.load(1).state == "PENDING"


def test_who_submits_a_job_clears_away_after_who_died_here(ready: BackEnd) -> None:
    dead = ready.system.records.open()
    dead.save(RunRecord(dead.run_id, state="RUNNING", runner="podman", host="host"))
    dead.release()
    with session(ready.system):
        jobs.submit_run(SPEC, JOB, ready.system)
    assert ready.system.records.load(dead.run_id).state == "CANCELLED"


def test_check_mode_asks_slurm_and_changes_nothing(ready: BackEnd) -> None:
    said = "sbatch: Job 45 to start at 2026-11-24T00:13:00 using 1 processors\n"
    ready.process.answer("sbatch --parsable --test-only", stderr=said)
    before = ready.files()
    record, argv, start = jobs.planned_job(SPEC, JobSpec(time_limit="1h"), ready.system)
    assert (record.run_id, record.state, start) == (1, "PENDING", "2026-11-24T00:13:00")
    assert "--test-only" in argv
    assert ready.files() == before


def test_check_mode_knows_what_slurm_lets_wait_for_ever(ready: BackEnd) -> None:
    ready.process.answer("sinfo", stdout="batch* 30:00\n")
    with pytest.raises(CesError, match=r"partition batch: the time limit is longer"):
        jobs.planned_job(SPEC, JobSpec(time_limit="1h"), ready.system)
