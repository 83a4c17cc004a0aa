# SPDX-License-Identifier: GPL-3.0-or-later
"""A portal's jobs: which commands are called, and what comes of what they answer."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recording import RecordingProcess

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services import verify_portal
from ansible_collections.tre.ces.plugins.module_utils.ces.services.verify_portal import (
    Cluster,
    greeting,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import Finding

Greet = Callable[..., Finding]


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RecordingProcess:
    process = RecordingProcess()
    monkeypatch.setattr(verify_portal, "SystemProcess", lambda: process)
    monkeypatch.setattr(verify_portal, "_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(verify_portal, "_ARRIVING", 0.05)
    monkeypatch.setattr(verify_portal, "CLUSTERS", str(tmp_path))
    (tmp_path / "tre.yml").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return process


@pytest.fixture
def greet(slurm: RecordingProcess, tmp_path: Path) -> Iterator[Greet]:
    """What is found of a cluster; nothing is left of it."""

    def run(**cluster: Any) -> Finding:
        (finding,) = greeting(Cluster.of({"id": "tre", **cluster}))()
        return finding

    yield run
    assert [path for path in tmp_path.rglob("*") if "verify-" in path.name] == []


def runs(slurm: RecordingProcess, said: str | None = None) -> None:
    """Slurm takes the job, forgets it with the third look, and what it wrote arrives."""
    states = iter(["PENDING|Resources\n", "RUNNING|None\n"])

    def submitted(command: Command, _streams: Streams) -> Finished:
        (log,) = (word for word in command.argv if word.endswith("/output.log"))
        word = str(command.stdin).split('"')[1].split()[0]
        if said is None:
            Path(log).write_text(f"{word} ada\n")
        return Finished(command.argv, 0, "4711;tre\n", "")

    def looked(command: Command, _streams: Streams) -> Finished:
        return Finished(command.argv, 0, next(states, ""), "")

    slurm.then("sbatch", submitted)
    slurm.then("squeue", looked)


def test_a_job_that_comes_back_is_proved(slurm: RecordingProcess, greet: Greet) -> None:
    runs(slurm)
    found = greet(partition="batch")
    assert (found.check, found.level) == ("greeting", "ok")
    (argv,) = slurm.told("sbatch")
    assert argv[argv.index("-p") + 1] == "batch" and "--export=NONE" in argv
    assert len(slurm.told("squeue")) == 3


def test_the_clusters_own_commands_are_called(slurm: RecordingProcess, greet: Greet) -> None:
    cluster = Cluster.of(
        {"id": "a", "bin": "/opt/slurm/bin", "conf": "/c", "bin_overrides": {"squeue": "/x"}}
    )
    assert cluster.command("sbatch", "-V").argv == ("/opt/slurm/bin/sbatch", "-V")
    assert cluster.command("squeue").argv == ("/x",)
    assert cluster.command("sbatch").env == {"SLURM_CONF": "/c"}


def test_what_does_not_come_back_failed(slurm: RecordingProcess, greet: Greet) -> None:
    runs(slurm, said="nothing")
    found = greet()
    assert (found.level, found.role) == ("fault", "ood_apps")
    assert "job 4711 is over, and what it wrote is not in" in found.said


def test_a_job_that_is_refused_failed(slurm: RecordingProcess, greet: Greet) -> None:
    slurm.answer("sbatch", 1, stderr="sbatch: error: invalid partition specified: \x1bx\n")
    found = greet()
    assert found.level == "fault" and "invalid partition specified" in found.said
    assert "\x1b" not in found.said


def test_without_slurms_commands_it_failed(slurm: RecordingProcess, greet: Greet) -> None:
    def missing(_command: Command, _streams: Streams) -> Finished:
        raise CesError("run sbatch", said="it is not installed", hint="role slurm")

    slurm.then("sbatch", missing)
    found = greet()
    assert (found.level, found.said) == ("fault", "could not run sbatch: it is not installed")


def test_a_job_that_waits_is_cancelled_and_not_proved(
    slurm: RecordingProcess, greet: Greet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_portal, "_SECONDS", 0.05)
    slurm.answer("sbatch", stdout="12\n")
    slurm.answer("squeue", stdout="PENDING|Priority\n")
    found = greet()
    assert found.level == "warning"
    assert found.said == "job 12 did not end (PENDING, Priority), and was cancelled"
    assert slurm.told("scancel") == [("scancel", "12")]


@pytest.mark.parametrize("state", ["SUSPENDED", "STOPPED", "REQUEUED", "SIGNALING"])
def test_a_job_in_a_rare_state_is_not_over(
    slurm: RecordingProcess, greet: Greet, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(verify_portal, "_SECONDS", 0.05)
    slurm.answer("sbatch", stdout="12\n")
    slurm.answer("squeue", stdout=f"{state}|None\n")
    assert f"did not end ({state}, None)" in greet().said


def test_a_job_that_waits_for_what_never_comes_failed_at_once(
    slurm: RecordingProcess, greet: Greet
) -> None:
    slurm.answer("sbatch", stdout="12\n")
    slurm.answer("squeue", stdout="PENDING|InvalidAccount\n")
    found = greet()
    assert found.level == "fault" and "(PENDING, InvalidAccount), and was cancelled" in found.said


def test_slurm_that_falls_silent_failed_and_the_job_is_not_called_over(
    slurm: RecordingProcess, greet: Greet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_portal, "_SECONDS", 0.05)
    slurm.answer("sbatch", stdout="12\n")
    for command in ("squeue", "scancel"):
        slurm.answer(command, 1, stderr="Unable to contact slurm controller (connect failure)\n")
    found = greet()
    assert found.level == "fault"
    assert found.said == (
        "job 12 did not end (Unable to contact slurm controller (connect failure)), and could not"
        " be cancelled"
    )
    assert found.cure == "the Slurm controller does not answer: try later"


def test_a_job_that_slurm_has_forgotten_is_over(slurm: RecordingProcess, greet: Greet) -> None:
    runs(slurm)
    slurm.answer("squeue", 1, stderr="slurm_load_jobs error: Invalid job id specified\n")
    assert greet().level == "ok"


def test_a_command_that_does_not_answer_says_so(slurm: RecordingProcess, greet: Greet) -> None:
    slurm.then("sbatch", lambda one, _s: Finished(one.argv, 143, stopped_by="timeout"))
    found = greet()
    assert found.said == "could not submit a job: sbatch gave no answer within 30 s"


def test_a_cluster_that_the_portal_does_not_have_failed(
    slurm: RecordingProcess, greet: Greet, tmp_path: Path
) -> None:
    runs(slurm)
    (tmp_path / "tre.yml").unlink()
    for cluster in ({}, {"shared_home": False}, {"submit_host": "login"}):
        found = greet(**cluster)
        assert (found.level, found.role) == ("fault", "ood_apps")
        assert f"does not offer this cluster: {tmp_path}/tre.yml is not there" in found.said
    assert slurm.commands == []


def test_an_errand_has_time_for_all_that_slurm_is_asked() -> None:
    (errand,) = verify_portal.portal_errands([_me()], [Cluster("tre")])
    # each command may take its time, and as long again to be stopped
    command = 30 + 15
    assert errand.seconds > command + 90 + command + max(command, 20)


def _me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.parametrize(("rc", "level"), [(0, "ok"), (1, "warning")])
def test_a_back_end_with_homes_of_its_own_is_checked(
    slurm: RecordingProcess, greet: Greet, rc: int, level: str
) -> None:
    slurm.answer(verify_portal.REMOTE, rc, stdout="tre: slurm 24.11.5 there answers\n")
    found = greet(shared_home=False)
    assert found.level == level and "slurm 24.11.5 there answers" in found.said
    assert slurm.told("sbatch") == []
    assert slurm.told(verify_portal.REMOTE) == [(verify_portal.REMOTE, "check", "tre")]


def test_a_portal_that_submits_elsewhere_is_not_proved(greet: Greet) -> None:
    assert greet(submit_host="login").level == "note"


def test_who_may_use_a_cluster_is_asked_of_the_host() -> None:
    name = _me()
    group = grp.getgrgid(os.getegid()).gr_name
    assert Cluster("a", groups=("none", group)).user_of([name]) == name
    assert Cluster("a", groups=("none",)).user_of([name]) == ""
    assert Cluster("a").user_of([name]) == name
