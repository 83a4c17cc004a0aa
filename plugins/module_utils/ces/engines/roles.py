# SPDX-License-Identifier: GPL-3.0-or-later
"""Which role brings a program to a host, for messages: loaded where one is missing."""

from __future__ import annotations

PROGRAMS = {
    "podman": ("podman",),
    "apptainer": ("apptainer",),
    "oci": ("crun", "skopeo", "umoci"),
    "gpu": ("nvidia-smi", "nvidia-ctk"),
    "slurm": ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct"),
}
"""By a role's name."""
ROLE_OF = {program: role for role, programs in PROGRAMS.items() for program in programs}


def programs_of(engine: str) -> tuple[str, ...]:
    """All programs that a runner needs, by the one that it is named after in the table."""
    return PROGRAMS[ROLE_OF[engine]]


def cure_without(program: str) -> str:
    """What to do where a program is not installed."""
    role = ROLE_OF.get(program)
    if role == "slurm":
        return (
            "use a host of the cluster, or the administrator installs Slurm's commands (role slurm)"
        )
    return "the administrator installs it" + (f" (role {role})" if role else "")
