# SPDX-License-Identifier: GPL-3.0-or-later
"""Proofs of a cluster: which jobs are asked for, and what comes of what srun answers."""

from __future__ import annotations

import grp
import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recording import RecordingProcess

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services import verify_jobs
from ansible_collections.tre.ces.plugins.module_utils.ces.services.errands import Errand
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.system.system import System
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import Finding

FOUND = Finding("container", "ok", "it ran")


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RecordingProcess:
    """Two partitions; node n2 is in both, n3 is down. What srun is told is recorded."""
    process = RecordingProcess()
    partitions = "batch|up|all\nshort|up|all\nbatch|up|all\n"
    process.answer("sinfo --noheader --format=%R", stdout=partitions)
    nodes = ("n1|batch|idle", "n2|batch|mixed", "n2|short|mixed", "n3|batch|down")
    process.answer("sinfo --noheader --Node", stdout="".join(f"{row}|(null)\n" for row in nodes))
    process.answer("sinfo --version", stdout="slurm 24.11.5\n")
    library = tmp_path / "libc.so.6"
    library.write_text("library")
    process.answer("ldd", stdout=f"\tlibc.so.6 => {library} (0x00007f1)\n")
    monkeypatch.setattr(verify_jobs, "SystemProcess", lambda: process)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return process


def errands(process: RecordingProcess) -> dict[str, Errand]:
    """By engine and place."""
    found = verify_jobs.job_errands(["ada"], ["podman", "oci"], process)
    return {f"{one.engine} {one.place}".strip(): one for one in found}


def test_each_engine_has_a_job_in_each_partition_and_each_node_a_bundle(
    slurm: RecordingProcess,
) -> None:
    found = errands(slurm)
    assert list(found) == [
        *("podman partition batch", "oci partition batch"),
        *("podman partition short", "oci partition short"),
        *("node n1", "node n2", "node n3"),
    ]
    assert {one.user for one in found.values()} == {"ada"}
    assert verify_jobs.slurm_version(slurm) == "slurm 24.11.5"


def test_each_engine_has_a_job_with_a_gpu_on_each_node_that_has_one(
    slurm: RecordingProcess,
) -> None:
    nodes = (
        "n1|batch|drained|gpu:2(S:0)\nn2|batch|idle|(null)\nn2|short|idle|(null)\n"
        "n3|long|mixed|shard:4,gpu:a100:1\n"
    )
    slurm.answer("sinfo --noheader --Node", stdout=nodes)
    answer = json.dumps({"node": "n3", "findings": [FOUND.as_dict()]})
    slurm.answer("srun", stdout=f"{answer}\n")
    found = [*verify_jobs.gpu_errands(["ada"], ["podman", "oci"], slurm)]
    assert [(one.name, one.engine, one.place) for one in found] == [
        ("gpu", "podman", "node n1"),
        ("gpu", "oci", "node n1"),
        ("gpu", "podman", "node n3"),
        ("gpu", "oci", "node n3"),
    ]
    (out,) = found[0].work()
    assert (out.level, out.said) == ("warning", "the node is drained: no job was run on it")
    job, _container = found[-1].work()
    assert (job.check, job.said) == ("gpu", "a job ran on n3")
    (argv,) = slurm.told("srun")
    assert {"--partition=long", "--nodelist=n3", "--gres=gpu:1"} < set(argv)
    program = next(one.stdin for one in slurm.commands if one.argv == argv)
    assert "answer_in_job('oci', gpu=True)" in str(program)


def test_without_slurm_there_is_nothing_to_prove() -> None:
    process = RecordingProcess()

    def missing(command: Command, _streams: Streams) -> Finished:
        raise CesError("run sinfo", said="there is no such program")

    process.then("sinfo", missing)
    assert [*verify_jobs.job_errands(["ada"], ["podman"], process)] == []
    assert verify_jobs.slurm_version(process) == ""


def told(errand: Errand) -> Finding:
    (finding,) = errand.work()
    return finding


@pytest.mark.parametrize("made", [verify_jobs.job_errands, verify_jobs.gpu_errands])
def test_slurm_that_does_not_answer_failed(slurm: RecordingProcess, made: Any) -> None:
    """A report that only leaves the jobs out would say that nothing failed."""
    said = "slurm_load_partitions: Unable to contact slurm controller (connect failure)"
    slurm.answer("sinfo --noheader", 1, stderr=f"{said}\n")
    (errand,) = made(["ada"], ["podman"], slurm)
    found = told(errand)
    assert (errand.place, found.level) == ("the cluster", "fault")
    assert found.said == f"Slurm does not answer ({said}): no job was run"
    slurm.then("sinfo --noheader", lambda one, _s: Finished(one.argv, 143, stopped_by="timeout"))
    (errand,) = made(["ada"], ["podman"], slurm)
    assert "(no answer within 10 s)" in told(errand).said
    # commands that a host has without a cluster
    said = "sinfo: fatal: Could not establish a configuration source"
    slurm.answer("sinfo --noheader", 1, stderr=f"{said}\n")
    (errand,) = made(["ada"], ["podman"], slurm)
    assert told(errand).level == "note"


@pytest.mark.parametrize(
    ("partition", "nodes", "level", "said"),
    [
        ("b|down|all", "n1|b|idle", "warning", "the partition is down: no job was run"),
        ("b|inact|all", "n1|b|idle", "warning", "the partition is inact: no job was run"),
        ("b|up|all", "", "warning", "the partition has no nodes: no job was run"),
        (
            "b|up|all",
            "n1|b|drained\nn2|b|idle*",
            "warning",
            "all nodes of the partition are out of use (drained, idle*): no job was run",
        ),
        (
            "b|up|no-such,another",
            "n1|b|idle",
            "note",
            "none of the users may use it (it is for no-such, another)",
        ),
    ],
)
def test_a_partition_that_takes_no_job_is_told_with_its_reason(
    slurm: RecordingProcess, partition: str, nodes: str, level: str, said: str
) -> None:
    """Nobody waits for srun to call the nodes busy."""
    slurm.answer("sinfo --noheader --format=%R", stdout=f"{partition}\n")
    rows = "".join(f"{row}|gpu:1\n" for row in nodes.split())
    slurm.answer("sinfo --noheader --Node", stdout=rows)
    me = pwd.getpwuid(os.geteuid()).pw_name
    job, *others = verify_jobs.job_errands([me], ["podman"], slurm)
    assert (told(job).level, told(job).said) == (level, said)
    others += verify_jobs.gpu_errands([me], ["podman"], slurm)
    assert [told(one).level for one in others] == [level] * len(others)
    assert slurm.told("srun") == []


@pytest.mark.parametrize("state", ["planned", "mixed-", "allocated+", "idle@"])
def test_a_node_that_slurm_has_plans_for_is_in_use(slurm: RecordingProcess, state: str) -> None:
    slurm.answer("sinfo --noheader --Node", stdout=f"n1|batch|{state}|gpu:1\n")
    slurm.answer("srun", 1, stderr="srun: error: Requested nodes are busy\n")
    (errand,) = verify_jobs.gpu_errands(["ada"], ["podman"], slurm)
    assert told(errand).said.startswith("the nodes are busy")


def test_who_may_use_a_partition_runs_its_jobs(slurm: RecordingProcess) -> None:
    """A node of a closed partition and an open one is reached by the open one."""
    group = grp.getgrgid(os.getegid()).gr_name
    partitions = f"a|down|all\nb|up|no-such\nc|up|no-such,{group}\n"
    slurm.answer("sinfo --noheader --format=%R", stdout=partitions)
    rows = "".join(f"n1|{name}|idle|gpu:1\n" for name in "abc")
    slurm.answer("sinfo --noheader --Node", stdout=rows)
    me = pwd.getpwuid(os.geteuid()).pw_name
    (errand,) = verify_jobs.gpu_errands(["nobody", me], ["podman"], slurm)
    assert errand.user == me
    [*errand.work()]
    (argv,) = slurm.told("srun")
    assert {"--partition=c", "--nodelist=n1"} < set(argv)


def test_a_job_answers_with_what_was_found_in_it(slurm: RecordingProcess) -> None:
    answer = json.dumps({"node": "n1", "findings": [FOUND.as_dict()]})
    slurm.answer("srun", stdout=f"some prolog's word\n{answer}\n")
    job, found = errands(slurm)["podman partition batch"].work()
    assert (job.check, job.level, job.said) == ("job", "ok", "a job ran on n1")
    assert found == FOUND
    (argv,) = slurm.told("srun")
    assert "--partition=batch" in argv
    program = next(one.stdin for one in slurm.commands if one.argv == argv)
    assert "answer_in_job('podman', gpu=False)" in str(program)
    compile(str(program), "job", "exec")


@pytest.mark.parametrize(
    ("rc", "stdout", "stderr", "level", "part"),
    [
        (1, "", "srun: error: Requested nodes are busy", "warning", "busy"),
        (1, "", "srun: error: Invalid account", "fault", "Invalid account"),
        (1, "", "", "fault", "ended with 1, and no word"),
        (0, '{"node": "n1"}', "", "fault", "no word"),
        (0, '{"node": "n1", "findings": [{"check": 1}]}', "", "fault", "no word"),
        (0, '{"node": "n1", "findings": "x"}', "", "fault", "no word"),
    ],
)
def test_a_job_without_an_answer_proves_nothing(
    slurm: RecordingProcess, rc: int, stdout: str, stderr: str, level: str, part: str
) -> None:
    slurm.answer("srun", rc, stdout=stdout, stderr=stderr)
    (found,) = errands(slurm)["oci partition short"].work()
    assert (found.check, found.level) == ("job", level)
    assert part in found.said
    assert found.cure


def as_slurm(script: Callable[[Path], str]) -> Callable[[Command, Streams], Finished]:
    """What srun answers for a bundle."""

    def run(command: Command, _streams: Streams) -> Finished:
        (option,) = (word for word in command.argv if word.startswith("--container="))
        return Finished(command.argv, 0, f"{script(Path(option.partition('=')[2]))}\n")

    return run


def test_a_bundle_that_is_run_is_proved(slurm: RecordingProcess, tmp_path: Path) -> None:
    def run(bundle: Path) -> str:
        config: dict[str, Any] = json.loads((bundle / "config.json").read_text())
        assert config["root"]["path"] == f"{bundle}/root"
        assert (bundle / "image/bin/sh").stat().st_mode & 0o111
        return (bundle / "image/canary").read_text().strip()

    slurm.then("srun", as_slurm(run))
    (found,) = errands(slurm)["node n1"].work()
    assert (found.check, found.level) == ("slurm_container", "ok")
    assert "--nodelist=n1" in slurm.told("srun")[0]
    assert list((tmp_path / "state/ces").iterdir()) == []


def test_a_bundle_that_is_passed_over_is_what_failed(slurm: RecordingProcess) -> None:
    slurm.then("srun", as_slurm(lambda _bundle: ""))
    (found,) = errands(slurm)["node n2"].work()
    assert (found.level, found.role) == ("fault", "slurm_oci")


def test_a_node_out_of_use_gets_no_job(slurm: RecordingProcess) -> None:
    (found,) = errands(slurm)["node n3"].work()
    assert (found.level, "the node is down" in found.said) == ("warning", True)
    assert slurm.told("srun") == []


def test_in_the_job_findings_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify_jobs, "prove_engine", lambda _engine, _system: iter([FOUND]))
    monkeypatch.setattr(System, "here", staticmethod(lambda: None))
    verify_jobs.answer_in_job("podman")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"node": os.uname().nodename, "findings": [FOUND.as_dict()]}
