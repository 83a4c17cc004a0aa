# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of Slurm on a host; and how it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recording import RecordingProcess
from telling import only, told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.cluster import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.cluster import (
    Cluster,
    look_at_cluster,
)

GOOD = Cluster(True, oci_conf="/etc/slurm/oci.conf", oci_there=True, node="IDLE")
OURS = "/usr/local/lib/tre-ces-slurm"
CONFIG = f"""\
Configuration data as of 2026-11-29T04:00:00
Epilog[0]               = /usr/local/sbin/site-epilog
Epilog[1]               = {OURS}/epilog
Prolog                  = {OURS}/prolog
ProctrackType           = proctrack/cgroup
SLURM_CONF              = /etc/slurm/slurm.conf
TaskEpilog              = (null)
TaskProlog              = {OURS}/task-prolog
"""


def test_a_good_node_is_well() -> None:
    assert told(LOOKS, GOOD) == []


def test_a_host_without_slurm_and_one_that_only_submits_are_well() -> None:
    assert told(LOOKS, Cluster(False)) == []
    assert told(LOOKS, Cluster(True, configured=True, missing=("/x",))) == []


def test_a_cluster_without_commands_is_told() -> None:
    only(LOOKS, Cluster(False, configured=True), "slurm_commands", "warning", "scontrol is not")


def test_who_calls_our_programs_is_told_wherever_slurm_answers() -> None:
    only(LOOKS, Cluster(True, unhooked=("Epilog",)), "slurm_hooks", "warning", f"Epilog={OURS}/ep")


@pytest.mark.parametrize(
    ("changes", "check", "level", "part"),
    [
        ({"said": "Unable to contact"}, "slurm_answers", "warning", "Unable to contact"),
        ({"oci_there": False}, "slurm_container", "warning", "--container"),
        ({"unhooked": ("Epilog",)}, "slurm_hooks", "warning", "Epilog does not call ours"),
        ({"missing": ("/usr/x",)}, "slurm_hooks", "fault", "drains the node"),
        ({"node": "IDLE+DRAIN", "reason": "disk"}, "slurm_node", "warning", "(disk)"),
        ({"node": "DOWN*"}, "slurm_node", "warning", "DOWN*"),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, Any], check: str, level: str, part: str) -> None:
    only(LOOKS, replace(GOOD, **changes), check, level, part)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("bin/scontrol", f"{OURS[1:]}/prolog", f"{OURS[1:]}/epilog"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch(mode=0o755)
    return tmp_path


def test_facts_are_what_slurm_says(root: Path) -> None:
    process = RecordingProcess()
    process.answer("scontrol show config", stdout=CONFIG)
    process.answer(
        "scontrol --oneliner show node",
        stdout="NodeName=n1 State=IDLE+DRAIN ThreadsPerCore=1 Reason=bad disk [root@2026-11-29]\n",
    )
    found = look_at_cluster(process, f"/no:{root}/bin", str(root))
    assert found == Cluster(
        True,
        oci_conf="/etc/slurm/oci.conf",
        oci_there=False,
        node="IDLE+DRAIN",
        reason="bad disk",
        unhooked=("TaskEpilog",),
        missing=("/usr/local/sbin/site-epilog", f"{OURS}/task-prolog"),
    )


def test_a_controller_that_is_down(root: Path) -> None:
    process = RecordingProcess()
    process.answer("scontrol", 1, stderr="slurm_load_ctl_conf error: Unable to contact slurm\n")
    found = look_at_cluster(process, f"{root}/bin", str(root))
    assert found.there
    assert "Unable to contact" in found.said


def test_a_host_that_is_no_node(root: Path) -> None:
    process = RecordingProcess()
    process.answer("scontrol show config", stdout=CONFIG)
    process.answer("scontrol --oneliner", 1, stdout="Node login not found\n")
    assert look_at_cluster(process, f"{root}/bin", str(root)).node == ""
    assert look_at_cluster(process, "/no", str(root)) == Cluster(False)
    (root / "etc/slurm").mkdir(parents=True)
    (root / "etc/slurm/slurm.conf").touch()
    assert look_at_cluster(process, "/no", str(root)).configured
