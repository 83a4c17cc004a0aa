# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook verify on a portal: jobs go to its clusters, and what they write comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from island import Traveller
from remote import Host
from users import INVENTORY, TOP
from verifying import Verification, verify

SITE = TOP / "molecule/ood/inventory.yml"
CLUSTERS = yaml.safe_load(SITE.read_text())["all"]["hosts"]["portal"]["ces_clusters"]


def verify_portal(directory: Path, **variables: Any) -> Verification:
    return verify(INVENTORY, directory, f"--inventory={SITE}", "--limit=portal", **variables)


def test_a_job_to_each_cluster_is_proved(portal: Host, carol: Traveller, tmp_path: Path) -> None:
    before = portal.root("find /home -name 'verify-*'; squeue -h")
    found = verify_portal(tmp_path)
    greetings = {one["place"]: one for one in found.proofs("portal", what="greeting")}
    assert {place: (one["outcome"], one["user"]) for place, one in greetings.items()} == {
        "cluster tre": ("proved", "alice"),
        # of a group's only
        "cluster tre-small": ("proved", "bob"),
        "cluster island": ("proved", "carol"),
    }
    assert "answers: all is well" in greetings["cluster island"]["said"]
    # a portal runs no container
    (forms,) = found.proofs("portal", what="forms")
    assert (forms["outcome"], len(found.proofs("portal"))) == ("not proved", len(greetings) + 1)
    assert found.report["failures"] == []
    assert portal.root("find /home -name 'verify-*'; squeue -h") == before


def test_a_cluster_that_takes_no_job_failed(portal: Host, tmp_path: Path) -> None:
    (tre,) = (cluster for cluster in CLUSTERS if cluster["id"] == "tre")
    wrong = [{**tre, "partition": "no-such", "custom": {}}]
    found = verify_portal(tmp_path, ces_clusters=wrong)
    (proof,) = found.proofs("portal", what="greeting")
    assert proof["outcome"] == "failed" and "invalid partition" in proof["said"]
    assert found.play.rc != 0


def test_a_portal_that_does_not_offer_the_cluster_failed(portal: Host, tmp_path: Path) -> None:
    file = "/etc/ood/config/clusters.d/tre.yml"
    portal.root(f"mv {file} {file}.away")
    try:
        found = verify_portal(tmp_path)
    finally:
        portal.root(f"mv {file}.away {file}")
    failed = {one["place"] for one in found.proofs("portal") if one["outcome"] == "failed"}
    assert failed == {"cluster tre"} and found.play.rc != 0


def test_a_cluster_whose_controller_is_down_failed(portal: Host, tmp_path: Path) -> None:
    """Of both: a host that submits jobs, and the portal."""
    portal.root("systemctl stop slurmctld")
    try:
        found = verify(INVENTORY, tmp_path, f"--inventory={SITE}", "--limit=portal,node1")
    finally:
        portal.root("systemctl start slurmctld")
    for host, what in (("node1", "job"), ("node1", "gpu"), ("portal", "greeting")):
        failed = [p for p in found.proofs(host, what=what) if p["outcome"] == "failed"]
        assert failed, what
    (job,) = found.proofs("node1", what="job")
    assert "Slurm does not answer (" in job["said"] and "slurmctld" in job["cure"]
