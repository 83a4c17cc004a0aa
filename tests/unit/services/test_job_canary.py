# SPDX-License-Identifier: GPL-3.0-or-later
"""What Slurm is told for two jobs on trial, and what comes of what they show; no job runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from recording import BackEnd
from telling import told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.jobs import LOOKS, Jobs
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services.job_canary import run_jobs
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command

AROUND = "run-directory\ncontainers-conf\n"


@pytest.fixture
def slurm(backend: BackEnd) -> BackEnd:
    """A node where jobs do what they should."""
    library = backend.place / "libc.so.6"
    library.write_text("library")
    backend.process.answer("ldd", stdout=f"\tlibc.so.6 => {library} (0x00007f1)\n")
    backend.process.answer("sinfo", stdout="batch\nother\n")

    def job(command: Command, _streams: Streams) -> Finished:
        bundle = next((w for w in command.argv if w.startswith("--container=")), "")
        if not bundle:
            return Finished(command.argv, 0, AROUND)
        config = json.loads(Path(bundle.partition("=")[2], "config.json").read_text())
        assert config["process"]["args"] == ["/bin/sh"]
        word = Path(bundle.partition("=")[2], "image/canary").read_text()
        return Finished(command.argv, 0, f"{word}0\n")

    backend.process.then("srun", job)
    return backend


def look(slurm: BackEnd, *options: str) -> Jobs:
    return run_jobs(slurm.system.account, slurm.process, options)


def test_jobs_that_do_what_they_should(slurm: BackEnd) -> None:
    assert told(LOOKS, look(slurm, "--qos=x")) == []
    node = os.uname().nodename.partition(".")[0]
    for argv in slurm.process.told("srun"):
        assert {f"--nodelist={node}", "--partition=batch", "--qos=x", "--chdir=/"} <= {*argv}
    assert list((slurm.home / ".local/share/ces").iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "checks", "part"),
    [
        ({"stdout": AROUND}, ["job_bundle"], 'the job "run-directory containers-conf"'),
        (
            {"rc": 1, "stderr": "srun: error: no such user"},
            ["job_bundle", "job_surroundings"],
            "no such user",
        ),
        ({"rc": 1, "stderr": "Requested nodes are busy"}, ["job_bundle"], "is busy"),
    ],
)
def test_jobs_that_do_not(
    slurm: BackEnd, answer: dict[str, Any], checks: list[str], part: str
) -> None:
    slurm.process.answer("srun", **answer)
    found = told(LOOKS, look(slurm))
    assert [one.check for one in found] == checks
    assert part in found[0].said
    assert {one.level for one in found} == {"note" if "busy" in part else "fault"}


def test_a_job_that_shows_nothing_in_time_is_a_finding(slurm: BackEnd) -> None:
    """The user whose job shows that Slurm runs containers can stop srun."""
    slurm.process.then("srun", lambda c, _s: Finished(c.argv, 143, stopped_by="timeout"))
    assert "did not end within 120 s" in told(LOOKS, look(slurm))[0].said


def test_a_host_without_a_partition_is_no_node(slurm: BackEnd) -> None:
    slurm.process.answer("sinfo", stdout="")
    with pytest.raises(CesError, match="it is in none"):
        look(slurm)
