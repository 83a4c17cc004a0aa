# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook verify where the kernel holds limits, and homes are on a file server."""

from __future__ import annotations

from pathlib import Path

import yaml
from conftest import INVENTORY, USER
from verifying import verify

(HOST,) = yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]["ces_backends"][
    "hosts"
]


def test_limits_of_the_policy_are_seen_from_inside(tmp_path: Path) -> None:
    found = verify(INVENTORY, tmp_path, timeout=900, verify_users=[USER], verify_slurm=False)
    for engine in ("podman", "apptainer", "oci"):
        outcomes = {one["what"]: one["outcome"] for one in found.proofs(HOST, engine=engine)}
        for what in ("container", "user", "safe_outputs", "network", "left_behind", "limits"):
            assert outcomes[what] == "proved", found.proofs(HOST, engine=engine)
        (limits,) = found.proofs(HOST, engine=engine, what="limits")
        assert limits["said"] == "1 CPU and 256MiB of memory, seen from inside"
    assert found.report["failures"] == []
