# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs whose process died, runs that are listed, and links to records. No engine runs here."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from one_run import NAME, SPEC
from recording import BackEnd
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    NotFound,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.clean import sweep
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import (
    run_container,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.runs import (
    list_runs,
    stop_left_by_task,
    stop_run,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.session import session
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.system.records import ActiveRun
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord


@pytest.fixture
def dead(ready: BackEnd) -> BackEnd:
    """A run whose process was killed: its container, scratch and own directory are still there."""
    active = ready.system.records.open()
    scratch = ready.home / f"scratch-{active.run_id}"
    private = ready.place / "run" / "ces" / f"run-{active.run_id}"
    for directory in (scratch, private):
        directory.mkdir(parents=True)
    (private / "cid").write_text("abc")
    (private / "env").write_text("TOKEN=s3cret\n")
    record = RunRecord(active.run_id, state="RUNNING", runner="podman", host="host", image=NAME)
    record.scratch, record.scratch_created = str(scratch), True
    there(active).save(record)
    there(active).release()
    return ready


def test_a_container_whose_monitor_was_killed_is_removed_at_the_second_try(dead: BackEnd) -> None:
    """podman notices at the first one only that the monitor is gone."""
    answers = [(0, ""), (125, "Error: no such process\n")]

    def remove(command: Command, _streams: Streams) -> Finished:
        rc, stderr = answers.pop()
        return Finished(command.argv, rc, "", stderr)

    dead.process.then("podman rm", remove)
    (record,) = sweep(dead.system)
    assert (answers, record.warnings) == ([], ())


def test_a_dead_run_that_has_written_down_its_end_keeps_it(dead: BackEnd) -> None:
    record = dead.system.records.load(1)
    active = dead.system.records.claim(1)
    record.state, record.rc, record.ended = "COMPLETED", 0, "2026-01-01T00:00:00Z"
    there(active).save(record)
    there(active).release()
    (swept,) = sweep(dead.system)
    assert (swept.state, swept.rc, swept.ended) == ("COMPLETED", 0, "2026-01-01T00:00:00Z")
    assert not (dead.home / "scratch-1").exists()


def test_the_next_run_clears_away_after_a_dead_one(dead: BackEnd) -> None:
    with session(dead.system):
        assert run_container(SPEC, dead.system).record.run_id == 2
    (removed,) = dead.process.told("podman rm")
    assert removed[-1] == f"--cidfile={dead.place}/run/ces/run-1/cid"
    assert not (dead.home / "scratch-1").exists()
    assert "s3cret" not in dead.everything_written()
    record = dead.system.records.load(1)
    assert (record.state, record.rc) == ("CANCELLED", None)
    assert "was killed" in record.reason
    assert sweep(dead.system) == []


@pytest.mark.parametrize(
    ("job", "seconds", "state"),
    [
        ("40", -1, "TIMEOUT"),
        ("40", 4, "TIMEOUT"),
        ("40", 600, "CANCELLED"),
        (None, -1, "CANCELLED"),
    ],
)
def test_a_dead_run_says_whether_the_time_of_its_job_was_over(
    dead: BackEnd, job: str | None, seconds: int, state: str
) -> None:
    record, run = dead.system.records.load(1), dead.system.records.claim(1)
    record.slurm_job_id, record.deadline = "40", time.time() + seconds
    there(run).save(record)
    there(run).release()
    (swept,) = sweep(dead.system, job)
    assert (swept.state, swept.rc) == (state, None)
    assert dead.system.records.load(1).state == state


def test_a_dead_run_of_another_host_is_left_to_it(dead: BackEnd) -> None:
    dead.system.host = "another"
    assert sweep(dead.system) == []
    assert (dead.home / "scratch-1").exists()
    with pytest.raises(CesError, match=r"it runs on host\. run ces-stop 1 there"):
        stop_run(1, dead.system)


def test_what_cannot_be_removed_is_a_warning_and_no_obstacle(dead: BackEnd) -> None:
    dead.process.answer("podman rm", 125, stderr="Error: device busy\n")
    with session(dead.system):
        assert run_container(SPEC, dead.system).record.state == "COMPLETED"
    assert any("device busy" in text for text in dead.system.records.load(1).warnings)


def test_stopping_a_dead_run_sweeps_it(dead: BackEnd) -> None:
    assert stop_run(1, dead.system).state == "CANCELLED"
    with pytest.raises(CesError, match="it has ended: CANCELLED"):
        stop_run(1, dead.system)
    with pytest.raises(NotFound):
        stop_run(7, dead.system)


@dataclass
class Task:
    """What a Slurm task started: a run whose process does as it is told, and says so."""

    backend: BackEnd
    process: subprocess.Popen[bytes]
    run: ActiveRun

    @classmethod
    def started(cls, backend: BackEnd, **variables: str) -> Task:
        process = subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"], **variables})
        run = backend.system.records.open()
        record = RunRecord(run.run_id, state="RUNNING", runner="podman", host="host", image=NAME)
        record.pid = process.pid
        there(run).save(record)
        task = cls(backend, process, run)
        threading.Thread(target=task._follow, args=(record,)).start()
        return task

    def _follow(self, record: RunRecord) -> None:
        record.rc = 128 - self.process.wait()
        record.state = "CANCELLED"
        self.run.save_last(record)
        self.run.finish()


def test_a_slurm_task_that_has_ended_has_its_own_runs_stopped(ready: BackEnd) -> None:
    mine = {"SLURM_JOB_ID": "40", "SLURM_PROCID": "0"}
    task = Task.started(ready, **mine)
    others = [
        Task.started(ready, **{**mine, **another})
        for another in ({"SLURM_JOB_ID": "41"}, {"SLURM_PROCID": "1"}, {"SLURM_STEP_ID": "0"})
    ]
    others.append(Task.started(ready))
    try:
        account = replace(ready.system.account, environ={**ready.system.account.environ, **mine})
        (record,) = stop_left_by_task(replace(ready.system, account=account))
        assert (record.run_id, record.state, record.rc) == (task.run.run_id, "CANCELLED", 143)
        assert [other.process.poll() for other in others] == [None] * 4
    finally:
        for other in (task, *others):
            other.process.kill()


def test_runs_are_listed_the_newest_first_and_by_state(dead: BackEnd) -> None:
    with session(dead.system):
        for name in (None, "other"):
            run_container(replace(SPEC, name=name), dead.system)
    assert [record.run_id for record in list_runs(dead.system)] == [3, 2, 1]
    assert [record.run_id for record in list_runs(dead.system, limit=1)] == [3]
    assert [record.run_id for record in list_runs(dead.system, state="CANCELLED")] == [1]
    assert list_runs(dead.system, limit=0) == []


def test_a_link_leads_to_the_record_while_it_runs_and_afterwards(
    ready: BackEnd, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to("/of/an/older/run")
    seen = []

    def look(command: Command, _streams: Streams) -> Finished:
        seen.append(json.loads((link / "run.json").read_text())["state"])
        return Finished(command.argv, 0)

    ready.process.then("podman run", look)
    ran = run_container(replace(SPEC, record_link=str(link)), ready.system)
    assert seen == ["RUNNING"]
    assert json.loads((link / "run.json").read_text())["state"] == "COMPLETED"
    assert link.resolve() == Path(ran.record.log).parent


def test_no_file_gives_way_to_a_link_and_the_record_says_so(ready: BackEnd, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.write_text("mine")
    with pytest.raises(CesError, match="no symbolic link"):
        run_container(replace(SPEC, record_link=str(link)), ready.system)
    assert link.read_text() == "mine"
    assert [record.state for record in list_runs(ready.system)] == ["FAILED"]
