# SPDX-License-Identifier: GPL-3.0-or-later
"""Do Slurm's jobs on this host run containers, and clear away after them? No I/O."""

from __future__ import annotations

from ..system.host.cluster import SLURM_CONF, Cluster, hook_of
from ..typed import Iterator
from ..values.policy import Policy
from .look import Look, Told

_OUT = ("DOWN", "DRAIN", "FAIL", "NOT_RESPONDING", "UNKNOWN", "INVAL")
_WITHOUT = {
    "Prolog": "a job's user may have no session, so that podman does not start",
    "Epilog": "what a killed job's containers left stays",
    "TaskProlog": "podman in a job may leave the job's limits",
    "TaskEpilog": "containers of a job that is cancelled are killed, and not stopped",
}


def tell_commands(found: Cluster, policy: Policy) -> Iterator[Told]:
    """Whether Slurm's commands are where its configuration is."""
    if found.configured and not found.there:
        yield Told(
            "warning",
            f"there is {SLURM_CONF}, and scontrol is not installed: no job can be submitted from"
            " here, and nothing is known of what Slurm does",
            "the administrator installs Slurm's commands, or applies the role slurm",
            "slurm",
        )


def tell_answer(found: Cluster, policy: Policy) -> Iterator[Told]:
    """Whether the controller answers."""
    if found.said:
        yield Told(
            "warning",
            f"Slurm does not answer ({found.said:.200}): no job can be submitted from here",
            "try again; if it lasts, the administrator looks at slurmctld, and at munge's key here",
            "slurm",
        )


def tell_container(found: Cluster, policy: Policy) -> Iterator[Told]:
    """Whether ``--container`` is heeded."""
    if found.node and not found.oci_there:
        yield Told(
            "warning",
            f"there is no {found.oci_conf}: Slurm passes --container over without a word, and the"
            " job's script runs on the host itself",
            "the administrator applies the role slurm_oci",
            "slurm_oci",
        )


def tell_hooks(found: Cluster, policy: Policy) -> Iterator[Told]:
    """Whether Slurm calls what prepares for containers and clears away after them."""
    for name in found.unhooked:
        yield Told(
            "warning",
            f"Slurm's {name} does not call ours: {_WITHOUT[name]}",
            "the administrator adds this line to slurm.conf on all hosts of the cluster, and runs"
            f" scontrol reconfigure: {name}={hook_of(name)} (there may be several lines of Prolog"
            " and Epilog; another TaskProlog has to call ours and print what it prints, and another"
            " TaskEpilog has to call ours)",
            "slurm_oci",
        )
    for program in found.missing if found.node else ():
        yield Told(
            "fault",
            f"Slurm is to call {program}, which is not there: it drains the node with the next job",
            "the administrator applies the role slurm_oci on this node",
            "slurm_oci",
        )


def tell_node(found: Cluster, policy: Policy) -> Iterator[Told]:
    """Whether this node takes jobs."""
    if any(word in found.node for word in _OUT):
        why = f" ({found.reason})" if found.reason else ""
        yield Told(
            "warning",
            f"this node is {found.node}{why}: jobs wait for others",
            "the administrator mends that, then runs: scontrol update nodename=NODE state=resume",
        )


LOOKS = (
    Look("slurm_commands", "Slurm's commands are here, or it is not used", tell_commands),
    Look("slurm_answers", "Slurm answers, or is not used here", tell_answer),
    Look("slurm_container", "Slurm heeds --container, or is not used here", tell_container),
    Look("slurm_hooks", "Slurm clears away after containers, or is not used here", tell_hooks),
    Look("slurm_node", "this host takes jobs, or is no node", tell_node),
)
"""In the order in which causes come before their effects. A new check is a new row."""
