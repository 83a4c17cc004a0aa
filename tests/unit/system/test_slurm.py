# SPDX-License-Identifier: GPL-3.0-or-later
"""What Slurm's commands are told, and what their answers mean (as 24.11 gave them)."""

from __future__ import annotations

from typing import Any

import pytest
from recording import RecordingProcess

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system.slurm import (
    Job,
    NoAnswer,
    Request,
    Slurm,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.job import JobSpec

SHOWN = (
    "JobId=21 JobName=hello-tre:1.0 UserId=alice(2001) GroupId=alice(2001) MCS_label=N/A"
    " Priority=1 Nice=0 Account=tre QOS=normal JobState=TIMEOUT Reason=TimeLimit Dependency=(null)"
    " Requeue=0 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:15 RunTime=00:01:27 TimeLimit=00:01:00"
    " ReqNodeList=(null) ExcNodeList=(null) NodeList=node[1-2] BatchHost=node1 NumNodes=2"
    " WorkDir=/home/a JobState=RUNNING NodeList=evil\n"
)
FAILED = "sbatch: error: Batch job submission failed: "
DOWN = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
GONE = "slurm_load_jobs error: Invalid job id specified\n"


@pytest.fixture
def process() -> RecordingProcess:
    return RecordingProcess()


@pytest.fixture
def slurm(process: RecordingProcess) -> Slurm:
    return Slurm(process)


def request(**options: Any) -> Request:
    return Request(JobSpec(**options), "app:1", "/home/ada", "/home/ada/runs/7/slurm.log")


def test_a_job_is_submitted_with_its_number_alone(process: RecordingProcess, slurm: Slurm) -> None:
    process.answer("sbatch", stdout="4711\n")
    asked = Request(
        JobSpec(
            partition="long",
            account="tre",
            qos="high",
            time_limit="90s",
            nodes=1,
            gpus="2",
            array="0-3%2",
            dependency="afterok:7",
            extra=("--hold",),
        ),
        "app:1",
        "/home/ada",
        "/home/ada/runs/7/slurm.log",
        cpus=2,
        memory=1024,
    )
    assert slurm.submit(asked, 7) == "4711"
    (command,) = process.commands
    assert command.argv == (
        *("sbatch", "--parsable", "--export=NIL", "--no-requeue", "--job-name=app:1"),
        *("--chdir=/home/ada", "--output=/home/ada/runs/7/slurm.log", "--partition=long"),
        *("--account=tre", "--qos=high", "--time=2", "--nodes=1", "--cpus-per-task=2"),
        *("--mem=1024M", "--gres=gpu:2", "--array=0-3%2", "--dependency=afterok:7", "--hold"),
    )
    assert command.stdin == (
        "#!/bin/sh\nPATH=/usr/local/bin:/usr/bin:/bin\nexport PATH\nexec ces-run --job 7\n"
    )
    assert command.env == {}


def test_the_name_of_the_cluster_behind_the_number_is_left_off(
    process: RecordingProcess, slurm: Slurm
) -> None:
    process.answer("sbatch", stdout="4711;cluster\n")
    assert slurm.submit(request(), 7) == "4711"


@pytest.mark.parametrize(
    ("answer", "said", "hint"),
    [
        ("Requested time limit is invalid (missing or exceeds some limit)", "time", "less time"),
        ("Memory specification can not be satisfied", "Memory", "less memory"),
        ("Requested node configuration is not available", "node", "fewer CPUs"),
        ("Invalid account or account/partition combination specified", "account", "sacctmgr"),
        ("Invalid qos specification", "qos", "sacctmgr show qos"),
        ("Job dependency problem", "dependency", "afterok"),
        ("Unable to contact slurm controller (connect failure)", "contact", "try later"),
        ("Something that nobody has heard of", "nobody has heard of", ""),
    ],
)
def test_why_slurm_refuses_and_what_to_do(
    process: RecordingProcess, slurm: Slurm, answer: str, said: str, hint: str
) -> None:
    process.answer("sbatch", 1, stderr=f"sbatch: note\n{FAILED}{answer}\n")
    with pytest.raises(CesError, match=r"could not submit app:1: ") as caught:
        slurm.submit(request(), 7)
    assert said in caught.value.said
    assert "sbatch: error" not in caught.value.said
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("amounts", "named"),
    [
        ({"cpus": 1, "memory": 4096}, "it asks for 1 CPU, 4GiB of memory"),
        (
            {"cpus": 8, "memory": 1536, "unasked": ("memory",)},
            "it asks for 8 CPUs, 1.5GiB of memory (this site's default)",
        ),
        ({"spec": JobSpec(gpus="2", nodes=3)}, "it asks for 2 GPU(s), 3 node(s)"),
        ({}, "is not available"),
    ],
)
def test_what_no_node_has_is_named(
    process: RecordingProcess, slurm: Slurm, amounts: dict[str, Any], named: str
) -> None:
    said = "Requested node configuration is not available"
    process.answer("sbatch", 1, stderr=f"{FAILED}{said}\n")
    with pytest.raises(CesError) as caught:
        slurm.submit(replace(request(), **amounts), 7)
    assert caught.value.said.startswith(said)
    assert caught.value.said.endswith(named)


def test_who_names_a_partition_that_is_not_there_is_told_which_are(
    process: RecordingProcess, slurm: Slurm
) -> None:
    process.answer("sbatch", 1, stderr=f"{FAILED}Invalid partition name specified\n")
    process.answer("sinfo", stdout="batch 1:00:00\nshort 1:00\n")
    with pytest.raises(CesError, match=r"to partition x: Invalid partition name") as caught:
        slurm.submit(request(partition="x"), 7)
    assert caught.value.hint == "partitions here: batch (up to 1:00:00), short (up to 1:00)"


def test_an_answer_that_is_no_number_is_an_error(process: RecordingProcess, slurm: Slurm) -> None:
    process.answer("sbatch", stdout="Submitted batch job\n")
    with pytest.raises(CesError, match=r"could not submit the job"):
        slurm.submit(request(), 7)


def test_when_a_job_could_start_is_asked_without_submitting_it(
    process: RecordingProcess, slurm: Slurm
) -> None:
    said = "sbatch: Job 45 to start at 2026-11-24T00:13:00 using 1 processors on nodes node1\n"
    process.answer("sbatch --parsable --test-only", stderr=said)
    argv, start = slurm.test(request(), 7)
    assert "--test-only" in argv
    assert start == "2026-11-24T00:13:00"


def test_the_queue_is_read_task_by_task(process: RecordingProcess, slurm: Slurm) -> None:
    rows = "10_0|RUNNING|None|node1\n10_1|PENDING|Resources|\n12|COMPLETED|None|node2\n"
    process.answer("squeue", stdout=rows)
    assert slurm.queue(["10_0", "10_1", "12"]) == {
        "10_0": Job("10_0", "RUNNING", "", "node1"),
        "10_1": Job("10_1", "PENDING", "Resources"),
        "12": Job("12", "COMPLETED", "", "node2"),
    }
    assert "--jobs=10,12" in process.commands[0].argv


def test_a_job_that_slurm_has_forgotten_is_no_silence(
    process: RecordingProcess, slurm: Slurm
) -> None:
    for program in ("squeue", "scontrol"):
        process.answer(program, 1, stderr=GONE)
    assert slurm.queue(["12"]) == {}
    assert slurm.show("12") is None


def test_a_task_that_was_cancelled_while_it_was_pending_is_not_found(
    process: RecordingProcess, slurm: Slurm
) -> None:
    process.answer("scontrol", 1, stdout="Job 12_1 not found\n")
    assert slurm.show("12_1") is None


@pytest.mark.parametrize("stderr", [DOWN, "", "squeue: error: something else\n"])
def test_a_controller_that_does_not_answer_says_nothing_about_the_job(
    process: RecordingProcess, slurm: Slurm, stderr: str
) -> None:
    for program in ("squeue", "scontrol"):
        process.answer(program, 1, stderr=stderr)
    with pytest.raises(NoAnswer):
        slurm.queue(["12"])
    with pytest.raises(NoAnswer):
        slurm.show("12")


def test_what_slurm_shows_is_read_from_the_front(process: RecordingProcess, slurm: Slurm) -> None:
    process.answer("scontrol --oneliner show job 21", stdout=SHOWN)
    expected = Job("21", "TIMEOUT", "TimeLimit", "node1", "0:15", "00:01:27")
    assert slurm.show("21") == expected
    assert expected.over


def test_accounting_knows_the_largest_memory(process: RecordingProcess, slurm: Slurm) -> None:
    rows = (
        "21|CANCELLED by 2001|0:15|node1|00:01:27|\n"
        "21.batch|CANCELLED|0:15|node1|00:01:27|105200K\n21.0|FAILED|1:0|node1|00:00:01|1.5M\n"
    )
    process.answer("sacct", stdout=rows)
    job, memory = slurm.accounted("21")
    assert job == Job("21", "CANCELLED", "", "node1", "0:15", "00:01:27")
    assert memory == "105200K"


def test_without_accounting_there_is_nothing(process: RecordingProcess, slurm: Slurm) -> None:
    process.answer("sacct", 1, stderr="Slurm accounting storage is disabled\n")
    assert slurm.accounted("21") == (None, "")


def test_a_job_that_is_gone_is_cancelled_already(process: RecordingProcess, slurm: Slurm) -> None:
    process.answer("scancel", 1, stderr="scancel: error: Kill job error: Invalid job id specified")
    slurm.cancel("21")
    process.answer("scancel", 1, stderr="scancel: error: Access/permission denied")
    with pytest.raises(CesError, match=r"could not cancel job 21: .*denied"):
        slurm.cancel("21")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1-02:03:04", 93784), ("1:00:00", 3600), ("1:00", 60), ("infinite", None), ("n/a", None)],
)
def test_how_long_a_partition_lets_jobs_run(
    process: RecordingProcess, slurm: Slurm, text: str, seconds: int | None
) -> None:
    process.answer("sinfo", stdout=f"short 0:30\nbatch* {text}\n")
    assert slurm.longest(None) == ("batch", seconds)
    assert slurm.longest("short") == ("short", 30)
    assert slurm.longest("other") == ("", None)


def test_how_long_a_job_has_left(process: RecordingProcess, slurm: Slurm) -> None:
    process.answer("squeue", stdout="0:00\n")
    assert slurm.time_left("21") == 0
    process.answer("squeue", stdout="UNLIMITED\n")
    assert slurm.time_left("21") is None
