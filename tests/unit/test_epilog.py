# SPDX-License-Identifier: GPL-3.0-or-later
"""Slurm's epilog: how long what a user left may keep a node from its next job."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "roles/slurm_oci/files/epilog"


@pytest.fixture
def epilog(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("epilog", str(FILE))
    module = module_from_spec(spec_from_loader("epilog", loader))
    loader.exec_module(module)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_JOB_UID", str(os.getuid()))
    return module


def test_all_state_directories_together_have_one_bound(epilog, tmp_path, monkeypatch):
    now, waited = [100.0], []
    monkeypatch.setattr(epilog.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(epilog.syslog, "syslog", lambda *_words: None)

    def hangs(argv, timeout, **_more):
        waited.append(timeout)
        now[0] += min(timeout, 12)
        raise subprocess.TimeoutExpired(argv, timeout)

    monkeypatch.setattr(epilog.subprocess, "run", hangs)
    job = epilog.Job()
    job.run_directory = tmp_path
    for step in range(50):
        (tmp_path / f"tre-ces-slurm/.{job.user.pw_name}.12.{step}.0").mkdir(parents=True)
    epilog.of_bundles(job)
    assert waited == [30, 18, 6]
    assert now[0] <= 100 + epilog.SECONDS
