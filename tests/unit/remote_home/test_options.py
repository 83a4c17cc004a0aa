# SPDX-License-Identifier: GPL-3.0-or-later
"""What arguments of Slurm's commands say."""

from __future__ import annotations

import pytest
from ces.errors import InvalidValue
from ces_remote import options
from hypothesis import given
from hypothesis import strategies as st

HOME = "/home/alice"
JOB = "/home/alice/ondemand/data/sys/dashboard/batch_connect/sys/app/output/uuid"


@pytest.mark.parametrize(
    "words",
    [
        ["-D", JOB],
        [f"-D{JOB}"],
        ["--chdir", JOB],
        [f"--chdir={JOB}/"],
        # the last one counts, and a value is no option
        ["-D", "/elsewhere", "-J", "-D", "-D", JOB],
        ["--job-name", "--chdir=/elsewhere", "-D", JOB, "--parsable"],
        ["-D", JOB, "-J", "-D/elsewhere", "--mail-user", "-D"],
    ],
)
def test_the_directory_of_a_job(words: list[str]) -> None:
    assert options.submission(words, HOME).directory == JOB


@pytest.mark.parametrize(
    "directory",
    [
        "",
        "relative",
        HOME,
        f"{HOME}/",
        "/home",
        "/",
        "/srv/x",
        f"{HOME}/.ssh",
        f"{HOME}/x/../.ssh",
        f"{HOME}/..",
        "/home/alice2/x",
    ],
)
def test_directories_that_are_not_copied(directory: str) -> None:
    with pytest.raises(InvalidValue):
        options.submission(["-D", directory], HOME)


@pytest.mark.parametrize(
    ("words", "log"),
    [
        (["-o", f"{JOB}/output.log"], "output.log"),
        (["--output=logs/%j.log"], "logs/%j.log"),
        ([], "slurm-%j.out"),
        (["-o", "/home/alice/elsewhere.log"], ""),
        (["-o", "../other/log"], ""),
    ],
)
def test_the_log_of_a_job(words: list[str], log: str) -> None:
    assert options.submission(["-D", JOB, *words], HOME).log == log


def test_patterns_of_a_log() -> None:
    assert options.log_of("slurm-%j.out", "77") == "slurm-77.out"
    assert options.log_of("%06j-%A", "77") == "77-77"
    assert options.log_of("%x.log", "77") == ""


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("NONE", []),
        ("ALL", []),
        ("A,B_1", ["A", "B_1"]),
        ("ALL,A", ["A"]),
        ("A=1,B", ["B"]),
        ("", []),
    ],
)
def test_variables_that_a_job_is_to_have(value: str, names: list[str]) -> None:
    assert list(options.exported(value)) == names
    assert options.environment(names, {"A": "1", "SECRET": "x"}) == (
        {"A": "1"} if "A" in names else {}
    )


@pytest.mark.parametrize(
    ("words", "job"),
    [
        (["-j", "77"], "77"),
        (["-j77"], "77"),
        (["--jobs=77_3"], "77"),
        (["--all", "-O", "JobID:\x1f,State:\x1f", "-j", "77"], "77"),
        (["-j", "77,78"], ""),
        (["--all"], ""),
        (["-u", "alice"], ""),
    ],
)
def test_the_job_that_is_asked_for(words: list[str], job: str) -> None:
    assert options.job_of(words) == job


def test_jobs_that_are_cancelled() -> None:
    assert options.jobs_named(["77", "78_2", "--signal", "15", "--full"]) == ["77", "78"]
    assert options.jobs_named(["-u", "alice"]) == []


@given(st.lists(st.text(max_size=20), max_size=8))
def test_no_words_make_it_copy_what_is_no_directory_below_the_home(words: list[str]) -> None:
    try:
        found = options.submission(words, HOME)
    except InvalidValue:
        return
    assert found.directory.startswith(f"{HOME}/")
    assert not found.directory[len(HOME) + 1 :].startswith(".")
    assert ".." not in found.directory.split("/")
