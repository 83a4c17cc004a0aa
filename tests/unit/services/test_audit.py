# SPDX-License-Identifier: GPL-3.0-or-later
"""The system log gets one line for each pull that fetched something and for each run's end."""

from __future__ import annotations

import json
import syslog
import time
from typing import NoReturn

import pytest
from recording import DIGEST, REGISTRY, BackEnd, OneImageRegistry

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services import job_follow, jobs, pull
from ansible_collections.tre.ces.plugins.module_utils.ces.services.clean import sweep
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import run_container
from ansible_collections.tre.ces.plugins.module_utils.ces.services.runs import list_runs
from ansible_collections.tre.ces.plugins.module_utils.ces.system.allocation import Allocation
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.job import JobSpec
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import PullSpec, RunSpec

NAME = f"{REGISTRY}/app:1"
RUN = RunSpec(ImageRef.parse(NAME), "podman")
PULL = PullSpec(ImageRef.parse(NAME), "podman")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that the system log gets."""
    found = []
    monkeypatch.setattr(syslog, "openlog", lambda *words: None)
    monkeypatch.setattr(syslog, "syslog", lambda _priority, line: found.append(line))
    return found


@pytest.fixture
def site(backend: BackEnd, monkeypatch: pytest.MonkeyPatch) -> BackEnd:
    """A site that audits: an image is in storage, and Slurm takes on each job as job 40."""
    backend.system.policy = replace(backend.system.policy, audit_syslog=True)
    backend.has_image(NAME)
    backend.process.answer("sbatch", stdout="40\n")
    backend.process.answer("squeue", stdout="40|PENDING|Priority|\n")
    backend.process.answer("sacct", 1)
    monkeypatch.setattr(pull, "registry_here", OneImageRegistry)
    monkeypatch.setattr(job_follow, "_CONSIDERING", (0,))
    return backend


def ends(lines: list[str]) -> list[tuple[str, int | None]]:
    """State and exit status of each run that has a line."""
    runs = [json.loads(line.removeprefix("run ")) for line in lines if line.startswith("run ")]
    assert len(runs) == len(lines)
    return [(run["state"], run["rc"]) for run in runs]


def test_a_run_has_a_line_that_says_who_ran_what_and_how_it_ended(
    site: BackEnd, lines: list[str]
) -> None:
    run_container(RUN, site.system)
    (line,) = lines
    event, _space, facts = line.partition(" ")
    assert event == "run"
    assert json.loads(facts) == {
        "user": "ada",
        "run_id": 1,
        "image": NAME,
        "digest": DIGEST,
        "runner": "podman",
        "state": "COMPLETED",
        "rc": 0,
        "slurm_job_id": None,
    }


def test_a_site_may_do_without(site: BackEnd, lines: list[str]) -> None:
    site.system.policy = replace(site.system.policy, audit_syslog=False)
    run_container(RUN, site.system)
    assert lines == []


def test_a_run_that_breaks_off_has_a_line(site: BackEnd, lines: list[str]) -> None:
    def break_off(_command: Command, _streams: Streams) -> NoReturn:
        raise CesError("run podman", said="the program is not on this host")

    site.process.then("podman run", break_off)
    with pytest.raises(CesError):
        run_container(RUN, site.system)
    assert ends(lines) == [("FAILED", 125)]


def test_a_run_whose_process_died_has_its_line_from_who_clears_away(
    site: BackEnd, lines: list[str]
) -> None:
    dead = site.system.records.open()
    dead.save(RunRecord(dead.run_id, state="RUNNING", runner="podman", host="host"))
    dead.release()
    sweep(site.system)
    assert ends(lines) == [("CANCELLED", None)]


def test_a_pull_has_a_line_if_it_fetched_something(site: BackEnd, lines: list[str]) -> None:
    assert pull.pull_image(PULL, site.system).changed is False
    pull.pull_image(replace(PULL, force=True), site.system, check_only=True)
    assert lines == []
    pull.pull_image(replace(PULL, force=True), site.system)
    (line,) = lines
    event, _space, facts = line.partition(" ")
    assert event == "pull"
    assert json.loads(facts) == {
        "user": "ada",
        "image": NAME,
        "digest": DIGEST,
        "runner": "podman",
    }


# --- jobs ---


def test_a_job_has_no_line_before_its_run_has_ended(site: BackEnd, lines: list[str]) -> None:
    jobs.submit_run(RUN, JobSpec(), site.system)
    assert lines == []
    node = replace(site.system, allocation=Allocation("40", "40", end=time.time() + 60))
    jobs.run_job(1, node)
    assert ends(lines) == [("COMPLETED", 0)]


def test_a_job_that_the_node_refuses_has_a_line(site: BackEnd, lines: list[str]) -> None:
    jobs.submit_run(replace(RUN, pull="never"), JobSpec(), site.system)
    site.process.answer("podman image inspect", 125, stderr="Error: no such image\n")
    with pytest.raises(CesError):
        jobs.run_job(1, replace(site.system, allocation=Allocation("40", "40")))
    assert ends(lines) == [("FAILED", 125)]


def test_each_task_that_slurm_refuses_has_a_line(site: BackEnd, lines: list[str]) -> None:
    site.process.answer("sbatch", 1, stderr="sbatch: error: Invalid qos specification\n")
    with pytest.raises(CesError):
        jobs.submit_run(RUN, JobSpec(array="0-1"), site.system)
    assert ends(lines) == [("FAILED", 125)] * 2


def test_a_job_that_would_wait_for_ever_has_a_line(site: BackEnd, lines: list[str]) -> None:
    site.process.answer("squeue", stdout="40|PENDING|PartitionTimeLimit|\n")
    submitted = jobs.submit_run(RUN, JobSpec(), site.system)
    with pytest.raises(CesError):
        job_follow.refuse_what_never_starts(submitted, site.system)
    assert ends(lines) == [("FAILED", 125)]


def test_a_job_that_ended_without_a_word_has_its_line_from_who_looks(
    site: BackEnd, lines: list[str]
) -> None:
    jobs.submit_run(RUN, JobSpec(), site.system)
    site.process.answer("squeue", stdout="40|NODE_FAIL|None|node1\n")
    site.process.then("scontrol", lambda command, _s: Finished(command.argv, 0, "no job\n"))
    list_runs(site.system)
    list_runs(site.system)
    assert ends(lines) == [("NODE_FAIL", 125)]
