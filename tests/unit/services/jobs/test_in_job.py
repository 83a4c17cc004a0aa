# SPDX-License-Identifier: GPL-3.0-or-later
"""A run in its job: claimed once, stopped as Slurm stops it, and told. No Slurm runs here."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from recording import BackEnd
from slurm_jobs import DOWN, JOB, SPEC, on_node, queue, state_of
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    NotFound,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import engine, jobs
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import run_container
from ansible_collections.tre.ces.plugins.module_utils.ces.services.session import session
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.job import JobSpec
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord


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
