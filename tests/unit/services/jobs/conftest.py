# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end from which jobs are submitted. No Slurm runs here: see RecordingProcess."""

from __future__ import annotations

import pytest
from recording import BackEnd
from slurm_jobs import FAST, NAME, queue

from ansible_collections.tre.ces.plugins.module_utils.ces.services import job_follow, jobs


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
