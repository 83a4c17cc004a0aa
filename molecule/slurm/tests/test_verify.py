# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook verify on a cluster: jobs of each partition, and bundles on each node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import INVENTORY, NODES, SITE, Cluster
from verifying import Verification, verify

ENGINES = ("podman", "apptainer", "oci")
PARTITIONS = [partition["name"] for partition in SITE["slurm_partitions"]]


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Verification:
    return verify(INVENTORY, tmp_path_factory.mktemp("verified"), verify_sample=1)


def test_a_container_runs_in_a_job_of_each_partition_under_each_engine(
    verified: Verification,
) -> None:
    for partition in PARTITIONS:
        for engine in ENGINES:
            place = f"partition {partition}"
            proofs = verified.proofs("slurmctl", engine=engine, place=place)
            outcomes = {proof["what"]: proof["outcome"] for proof in proofs}
            for what in ("job", "container", "user", "safe_outputs", "network", "left_behind"):
                assert outcomes.get(what) == "proved", proofs


def test_each_node_runs_bundles(verified: Verification) -> None:
    proofs = verified.proofs("slurmctl", what="slurm_container")
    assert {(p["place"], p["outcome"]) for p in proofs} == {
        (f"node {node}", "proved") for node in NODES
    }


def test_one_host_of_the_cluster_submits(verified: Verification) -> None:
    for node in NODES:
        assert verified.proofs(node, what="job") == []
        assert verified.proofs(node, what="container", outcome="proved")


def test_gpus_that_slurm_has_and_containers_cannot_have_failed(verified: Verification) -> None:
    """The nodes' GPUs are files; no driver is there, and no specification."""
    failed = verified.proofs("slurmctl", outcome="failed")
    assert {proof["place"] for proof in failed} == {f"node {node}" for node in NODES}
    assert all("neither /dev/nvidiactl" in p["said"] or "no CDI" in p["said"] for p in failed)
    assert len(verified.report["failures"]) == len(failed) == len(NODES) * len(ENGINES)


@pytest.fixture
def node_out_of_use(cluster: Cluster) -> Iterator[str]:
    node = NODES[0]
    cluster.submit.root(f"scontrol update nodename={node} state=drain reason=test")
    yield node
    cluster.submit.root(f"scontrol update nodename={node} state=resume")


def test_a_node_out_of_use_is_not_proved(node_out_of_use: str, tmp_path: Path) -> None:
    found = verify(INVENTORY, tmp_path, "--limit=slurmctl", verify_sample=1)
    proofs = found.proofs("slurmctl", place=f"node {node_out_of_use}")
    assert sorted({proof["what"] for proof in proofs}) == ["gpu", "slurm_container"]
    assert {(proof["outcome"], "drain" in proof["said"]) for proof in proofs} == {
        ("not proved", True)
    }
