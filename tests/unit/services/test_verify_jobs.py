# SPDX-License-Identifier: GPL-3.0-or-later
"""Proofs of a cluster: which jobs are asked for, and what comes of what srun answers."""

from __future__ import annotations

import json
import os
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
    process.answer("sinfo --noheader --format=%R", stdout="batch\nshort\nbatch\n")
    nodes = "n1 batch idle\nn2 batch mixed\nn2 short mixed\nn3 batch down\n"
    process.answer("sinfo --noheader --Node", stdout=nodes)
    process.answer("sinfo --version", stdout="slurm 24.11.5\n")
    library = tmp_path / "libc.so.6"
    library.write_text("library")
    process.answer("ldd", stdout=f"\tlibc.so.6 => {library} (0x00007f1)\n")
    monkeypatch.setattr(verify_jobs, "SystemProcess", lambda: process)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return process


def errands(process: RecordingProcess) -> dict[str, Errand]:
    """By engine and place."""
    found = verify_jobs.job_errands("ada", ["podman", "oci"], process)
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
        "n1 batch drained gpu:2(S:0)\nn2 batch idle (null)\nn2 short idle (null)\n"
        "n3 long mixed shard:4,gpu:a100:1\n"
    )
    slurm.answer("sinfo --noheader --Node --format=%n %R %T %G", stdout=nodes)
    answer = json.dumps({"node": "n3", "findings": [FOUND.as_dict()]})
    slurm.answer("srun", stdout=f"{answer}\n")
    found = verify_jobs.gpu_errands("ada", ["podman", "oci"], slurm)
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
    assert verify_jobs.job_errands("ada", ["podman"], process) == []
    assert verify_jobs.slurm_version(process) == ""


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
