# SPDX-License-Identifier: GPL-3.0-or-later
"""Slurm's epilog: how long what a user left may keep a node from its next job."""

from __future__ import annotations

import os
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


@pytest.fixture
def logged(epilog, monkeypatch):
    lines = []
    monkeypatch.setattr(epilog.syslog, "syslog", lambda _level, text: lines.append(text))
    return lines


def test_all_state_directories_together_have_one_bound(epilog, tmp_path, monkeypatch, logged):
    now, waited = [100.0], []
    monkeypatch.setattr(epilog.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(epilog.subprocess, "Popen", lambda *_words, **_more: None)

    def hangs(_process, end):
        waited.append(end - now[0])
        now[0] += min(waited[-1], 12)
        raise TimeoutError("it did not end")

    monkeypatch.setattr(epilog, "hear", hangs)
    job = epilog.Job()
    job.run_directory = tmp_path
    for step in range(50):
        (tmp_path / f"tre-ces-slurm/.{job.user.pw_name}.12.{step}.0").mkdir(parents=True)
    with pytest.raises(TimeoutError):
        epilog.of_bundles(job)
    assert waited == [30, 18, 6]
    assert now[0] <= 100 + epilog.SECONDS
    assert len(logged) == 3


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="becomes the job's user")


@AS_ROOT
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exec cat /dev/zero", "more than 1048576 bytes"),
        ("exec cat /dev/zero >&2", "more than 1048576 bytes"),
        ("sleep 60 & exit", "did not end"),
        ("exec sleep 60", "did not end"),
        ("echo no >&2; exit 3", "status 3: no"),
    ],
)
def test_what_the_user_lets_run_is_heard_for_so_long_and_so_much(epilog, logged, script, said):
    job = epilog.Job()
    job.end = epilog.time.monotonic() + (1 if "sleep" in script else 20)
    assert job.call("sh", "-c", script) == ""
    assert [said in line for line in logged] == [True]


@AS_ROOT
def test_what_a_program_says_is_answered(epilog, logged):
    assert epilog.Job().call("sh", "-c", "echo yes; echo no >&2") == "yes\n"
    assert logged == []
