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
    assert len(found.proofs("portal")) == len(greetings)
    assert found.report["failures"] == []
    assert portal.root("find /home -name 'verify-*'; squeue -h") == before


def test_a_cluster_that_takes_no_job_failed(portal: Host, tmp_path: Path) -> None:
    (tre,) = (cluster for cluster in CLUSTERS if cluster["id"] == "tre")
    wrong = [{**tre, "partition": "no-such", "custom": {}}]
    found = verify_portal(tmp_path, ces_clusters=wrong)
    (proof,) = found.proofs("portal")
    assert proof["outcome"] == "failed" and "invalid partition" in proof["said"]
    assert found.play.rc != 0
