# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that Slurm starts, from submission to record. No Slurm runs here: see RecordingProcess."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from recording import REGISTRY, BackEnd
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    Busy,
    CesError,
    NotFound,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import engine, job_follow, jobs
from ansible_collections.tre.ces.plugins.module_utils.ces.services.clean import sweep
from ansible_collections.tre.ces.plugins.module_utils.ces.services.jobs import Submitted
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import run_container
from ansible_collections.tre.ces.plugins.module_utils.ces.services.runs import (
    list_runs,
    look_up,
    stop_run,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.session import session
from ansible_collections.tre.ces.plugins.module_utils.ces.system.allocation import Allocation
from ansible_collections.tre.ces.plugins.module_utils.ces.system.cgroup import Limiting
from ansible_collections.tre.ces.plugins.module_utils.ces.system.job_files import JobFiles
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.system.records import ActiveRun
from ansible_collections.tre.ces.plugins.module_utils.ces.system.system import System
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.job import JobSpec
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Credentials,
    Directories,
    RunSpec,
)

NAME = f"{REGISTRY}/app:1"
SPEC = RunSpec(ImageRef.parse(NAME), "podman")
JOB = JobSpec()
GONE = "slurm_load_jobs error: Invalid job id specified\n"
DOWN = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
FAST = 0.001
"""Seconds between two questions, where the other side answers at once."""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_follow, "_CONSIDERING", (0,))
    monkeypatch.setattr(job_follow, "_LOOK", FAST)
    monkeypatch.setattr(job_follow, "_LOOK_SLOWLY", FAST)
    monkeypatch.setattr(jobs, "_CLAIM", 0.1)
    monkeypatch.setattr(job_follow, "_SETTLING", 0.05)


@pytest.fixture
def ready(backend: BackEnd) -> BackEnd:
    """The image is in storage, and Slurm takes on whatever it is given as job 40."""
    backend.has_image(NAME)
    backend.process.answer("sbatch", stdout="40\n")
    queue(backend, "40|PENDING|Priority|")
    backend.process.answer("sacct", 1)
    return backend


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


def with_gpus(backend: BackEnd, **variables: str) -> BackEnd:
    """The back-end where GPUs 0 and 1 are known, in an environment with these variables."""
    directory = backend.place / "cdi"
    directory.mkdir(exist_ok=True)
    devices = [{"name": n, "containerEdits": {"env": [f"GPU{n}=x"]}} for n in "01"]
    spec = {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices}
    (directory / "gpus.json").write_text(json.dumps(spec))
    conf = backend.place / "containers.conf"
    conf.write_text(f'[engine]\ncdi_spec_dirs = ["{directory}"]\n')
    account = backend.system.account
    environ = {**account.environ, "CONTAINERS_CONF": str(conf), **variables}
    system = replace(backend.system, account=replace(account, environ=environ))
    return BackEnd(backend.place, system, backend.process, backend.said, backend.environ)


def submit_and_consider(backend: BackEnd) -> Submitted:
    """What a playbook's task does."""
    submitted = jobs.submit_run(SPEC, JOB, backend.system)
    job_follow.refuse_what_never_starts(submitted, backend.system)
    return submitted


def state_of(backend: BackEnd) -> Path:
    return backend.home / ".local/state/ces"


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


# --- following ---


def followed(ready: BackEnd, **options: Any) -> job_follow.JobEnd:
    (end,) = job_follow.follow(
        jobs.submit_run(SPEC, JOB, ready.system), ready.system, FAST, **options
    )
    return end


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


# --- in the job ---


def test_outside_a_job_nobody_is_one(ready: BackEnd) -> None:
    with pytest.raises(CesError, match=r"this is no Slurm job"):
        jobs.run_job(1, ready.system)


def test_a_home_that_is_not_shared_is_named(ready: BackEnd) -> None:
    with pytest.raises(NotFound, match=r"must be shared between submit hosts and nodes"):
        jobs.run_job(1, on_node(ready))


@pytest.mark.parametrize(("job_id", "raw_id", "noted"), [("40_3", "43", "43"), ("40", "40", None)])
def test_a_tasks_other_number_is_noted_for_its_epilog(
    ready: BackEnd, job_id: str, raw_id: str, noted: str | None
) -> None:
    record = run_container(SPEC, on_node(ready, job_id, raw_id)).record
    assert (record.slurm_job_id, record.slurm_raw_id) == (job_id, noted)


def test_a_job_clears_away_after_who_died_on_its_node(ready: BackEnd) -> None:
    dead = ready.system.records.open()
    record = RunRecord(dead.run_id, state="RUNNING", runner="podman", host="node1")
    dead.save(record)
    dead.release()
    jobs.submit_run(SPEC, JOB, ready.system)
    assert ready.system.records.load(1).state == "RUNNING"
    node = on_node(ready)
    with session(node):
        jobs.run_job(2, node)
    assert ready.system.records.load(1).state == "CANCELLED"


def test_a_run_is_run_once(ready: BackEnd) -> None:
    jobs.submit_run(SPEC, JOB, ready.system)
    jobs.run_job(1, on_node(ready))
    with pytest.raises(CesError, match=r"could not be the job of run 1: it is COMPLETED already"):
        jobs.run_job(1, on_node(ready))
    assert len(ready.process.told("podman run")) == 1


def test_what_the_node_refuses_is_in_the_record(ready: BackEnd) -> None:
    ready.process.answer("podman image inspect", 125, stderr="Error: no such image\n")
    jobs.submit_run(replace(SPEC, pull="never"), JOB, ready.system)
    with pytest.raises(NotFound):
        jobs.run_job(1, on_node(ready))
    record = ready.system.records.load(1)
    assert (record.state, record.rc) == ("FAILED", 125)
    assert "the image is not in your storage" in record.reason
    assert list((state_of(ready) / "jobs").iterdir()) == []


def test_a_damaged_private_file_fails_the_run(ready: BackEnd) -> None:
    jobs.submit_run(SPEC, JOB, ready.system)
    (state_of(ready) / "runs/1/job.json").write_text("{")
    with pytest.raises(CesError, match=r"job.json"):
        jobs.run_job(1, on_node(ready))
    assert ready.system.records.load(1).state == "FAILED"


@pytest.mark.parametrize(
    ("end", "state", "rc"), [(-1, "TIMEOUT", 124), (3600, "CANCELLED", 143), (None, "TIMEOUT", 124)]
)
def test_a_job_whose_time_is_over_is_told_from_one_that_was_cancelled(
    ready: BackEnd, end: int | None, state: str, rc: int
) -> None:
    ready.process.then(
        "podman run", lambda command, _s: Finished(command.argv, 143, stopped_by="SIGTERM")
    )
    jobs.submit_run(SPEC, JOB, ready.system)
    queue(ready, "0:00")  # squeue's time left, asked for where the job does not know
    system = on_node(ready, end=None if end is None else time.time() + end)
    record = jobs.run_job(1, system).record
    assert (record.state, record.rc) == (state, rc)
    why = {
        "TIMEOUT": "the time that Slurm gave the job was over",
        "CANCELLED": "stopped by SIGTERM",
    }
    assert record.reason == why[state]


@pytest.mark.parametrize(
    ("left", "state"), [("0:01", "TIMEOUT"), ("0:02", "CANCELLED"), (None, "CANCELLED")]
)
def test_where_the_job_does_not_know_its_end_slurm_is_asked(
    ready: BackEnd, left: str | None, state: str
) -> None:
    ready.process.then(
        "podman run", lambda command, _s: Finished(command.argv, 143, stopped_by="SIGTERM")
    )
    jobs.submit_run(SPEC, JOB, ready.system)
    if left is None:
        ready.process.answer("squeue", 1, stderr=DOWN)
    else:
        queue(ready, left)
    assert jobs.run_job(1, on_node(ready)).record.state == state


def test_an_engine_that_slurm_stopped_before_us_is_stopped_too(ready: BackEnd) -> None:
    def killed(command: Command, _streams: Streams) -> Finished:
        there(ready.process.signals).received = "SIGTERM"
        return Finished(command.argv, 143)

    ready.process.then("podman run", killed)
    jobs.submit_run(SPEC, JOB, ready.system)
    with session(ready.system):
        record = jobs.run_job(1, on_node(ready, end=time.time() + 3600)).record
    assert (record.state, record.rc) == ("CANCELLED", 143)
    assert len(ready.process.told("podman stop")) == 1


@pytest.mark.parametrize(
    ("rc", "stopped_by", "signal", "state", "status", "stops"),
    [
        (143, "", "SIGTERM", "CANCELLED", 143, 1),
        (3, "", "", "FAILED", 3, 0),
        (0, "", "SIGTERM", "COMPLETED", 0, 0),
        (143, "SIGTERM", "SIGTERM", "CANCELLED", 143, 0),
    ],
)
def test_an_engine_that_failed_in_a_job_may_have_heard_a_signal_before_us(
    ready: BackEnd,
    monkeypatch: pytest.MonkeyPatch,
    rc: int,
    stopped_by: str,
    signal: str,
    state: str,
    status: int,
    stops: int,
) -> None:
    """A run that ended well waits for no signal."""

    def wait(_seconds: float) -> None:
        there(ready.process.signals).received = signal

    def end(command: Command, _streams: Streams) -> Finished:
        return Finished(command.argv, rc, stopped_by=stopped_by)

    monkeypatch.setattr(engine, "time", SimpleNamespace(sleep=wait, monotonic=time.monotonic))
    ready.process.then("podman run", end)
    jobs.submit_run(SPEC, JOB, ready.system)
    with session(ready.system):
        record = jobs.run_job(1, on_node(ready, end=time.time() + 3600)).record
    assert (record.state, record.rc) == (state, status)
    assert len(ready.process.told("podman stop")) == stops


def test_a_gpu_that_the_job_has_not_is_refused_and_one_that_it_has_is_the_only_one(
    ready: BackEnd,
) -> None:
    jobs.submit_run(SPEC, JobSpec(gpus="1"), ready.system)
    assert "--gres=gpu:1" in ready.process.told("sbatch")[0]
    with pytest.raises(CesError, match=r"Slurm gave job 40 none"):
        jobs.run_job(1, on_node(ready))
    jobs.submit_run(replace(SPEC, gpu=True), JOB, ready.system)
    assert "--gres=gpu:1" in ready.process.told("sbatch")[1]
    jobs.run_job(2, on_node(with_gpus(ready, SLURM_JOB_GPUS="1")))
    (argv,) = ready.process.told("podman run")
    assert [word for word in argv if word.startswith("--device")] == ["--device=nvidia.com/gpu=1"]
    jobs.submit_run(replace(SPEC, gpu=True, gpus=2), JOB, ready.system)
    assert "--gres=gpu:2" in ready.process.told("sbatch")[2]
    with pytest.raises(CesError, match="give the container 2 GPUs: job 40 has 1"):
        jobs.run_job(3, on_node(with_gpus(ready, SLURM_JOB_GPUS="1")))


# --- arrays ---


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


# --- listing and stopping ---


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


# --- check mode ---


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
