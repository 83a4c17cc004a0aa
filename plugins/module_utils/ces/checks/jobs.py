# SPDX-License-Identifier: GPL-3.0-or-later
"""Does Slurm do for containers in jobs what it was told to? No I/O."""

from __future__ import annotations

from ..dataclass import dataclass
from ..typed import Iterator
from ..values.policy import Policy
from .look import Look, Told

AROUND = {"run-directory": "its run-time directory", "containers-conf": "the settings for podman"}
"""What an ordinary job has, by the word that it says then."""
_APPLY = "the administrator applies the role slurm_oci on this node"


@dataclass(frozen=True)
class Job:
    """What came of one.

    :param words: that it wrote.
    :param said: by srun.
    :param busy: the node was, so that there was no job.
    """

    words: tuple[str, ...] = ()
    said: str = ""
    busy: bool = False


@dataclass(frozen=True)
class Jobs:
    """Two jobs on a node.

    :param word: that stands in the bundle alone.
    :param bundle: the job with ``--container``; ``around``: an ordinary one.
    """

    node: str
    word: str
    bundle: Job
    around: Job


def tell_bundle(found: Jobs, policy: Policy) -> Iterator[Told]:
    """Whether a job with ``--container`` runs in its bundle."""
    job = found.bundle
    if job.busy:
        yield Told("note", f"{found.node} is busy: no job was run there to check it")
    elif job.words != (found.word, "0"):
        yield Told(
            "fault",
            f"a job with --container on {found.node} did not run in its bundle: srun said"
            f' "{job.said:.400}", and the job "{" ".join(job.words):.100}"',
            _APPLY,
            "slurm_oci",
        )


def tell_around(found: Jobs, policy: Policy) -> Iterator[Told]:
    """Whether an ordinary job has what podman needs."""
    job = found.around
    lacking = [what for word, what in AROUND.items() if word not in job.words]
    if lacking and not job.busy:
        yield Told(
            "fault",
            f"an ordinary job on {found.node} lacks {' and '.join(lacking)}; srun said"
            f' "{job.said:.400}"',
            _APPLY,
            "slurm_oci",
        )


LOOKS = (
    Look("job_bundle", "jobs run in their bundles", tell_bundle),
    Look("job_surroundings", "jobs have what podman needs", tell_around),
)
"""A new check is a new row."""
