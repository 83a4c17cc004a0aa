# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook verify on a host with GPUs: what a job was given, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import INVENTORY, SPEC, Machine
from engines import WITH_GPUS as RUNNERS
from verifying import verify

HOST, NODE = "debian13", "node debian13"
LIMIT = f"--limit={HOST}"


def test_a_job_with_a_gpu_is_proved_under_each_engine(machine: Machine, tmp_path: Path) -> None:
    found = verify(INVENTORY, tmp_path, LIMIT, verify_sample=1)
    for engine in RUNNERS:
        proofs = found.proofs(HOST, engine=engine, place=NODE)
        assert {proof["what"]: proof["outcome"] for proof in proofs} == {
            "gpu": "proved",
            "container": "proved",
            "gpus": "proved",
        }, proofs
        (seen,) = (proof["said"] for proof in proofs if proof["what"] == "gpus")
        assert seen in {
            f"the container can use /dev/nvidia{number}, and no other GPU" for number in (0, 1)
        }
    # and a container that asks for none has none
    assert {one["outcome"] for one in found.proofs(HOST, what="gpus", place="")} == {"proved"}


@pytest.fixture
def without_specification(machine: Machine) -> Iterator[None]:
    machine.host.root(f"mv {SPEC} {SPEC}.away")
    yield
    machine.host.root(f"mv {SPEC}.away {SPEC}")


@pytest.mark.usefixtures("without_specification")
def test_gpus_that_containers_cannot_have_failed(tmp_path: Path) -> None:
    found = verify(INVENTORY, tmp_path, LIMIT, verify_sample=1)
    failed = found.proofs(HOST, place=NODE, outcome="failed")
    assert {proof["engine"] for proof in failed} >= {"podman", "oci"}
    assert all("no CDI specification" in proof["said"] for proof in failed), failed
    assert found.play.rc != 0
