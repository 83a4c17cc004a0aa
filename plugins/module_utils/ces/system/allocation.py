# SPDX-License-Identifier: GPL-3.0-or-later
"""The Slurm job that this process is in: what it was given, what holds it to that, when it ends.

Loaded only inside a job.
"""

from __future__ import annotations

import os

from ..dataclass import dataclass
from ..typed import Mapping
from .cgroup import ROOT, Limiting
from .files import kernel_lines

_TABLE = "/proc/self/cgroup"
_OF_A_USER = "/user.slice/user-"
"""How the cgroups of sessions, and of users' own systemd, begin (systemd.special(7))."""


@dataclass(frozen=True)
class Allocation:
    """A Slurm job, seen from inside.

    :param job_id: as Slurm's commands have it, ``4711``, of a task of an array ``4711_3``.
    :param raw_id: Slurm's own number of it, which of a task is another.
    :param task: the task of an array, or nothing.
    :param end: when its time is over, in seconds since the epoch, as far as it says so.
    :param cgroup: the job's directory below /sys/fs/cgroup, or nothing if it has none.
    :param outside: this process is in a cgroup of its user's own, where Slurm puts no job. Whoever
        sets Slurm's variables there is held by no job, and gets the limits of a run without one.
    """

    job_id: str
    raw_id: str
    task: str = ""
    end: float | None = None
    cgroup: str = ""
    outside: bool = False

    @classmethod
    def of(cls, environ: Mapping[str, str], root: str = ROOT) -> Allocation:
        """The job that Slurm's variables tell of."""
        raw, task = environ["SLURM_JOB_ID"], environ.get("SLURM_ARRAY_TASK_ID", "")
        array = environ.get("SLURM_ARRAY_JOB_ID", "")
        end = environ.get("SLURM_JOB_END_TIME", "")
        cgroups = _cgroups()
        return cls(
            job_id=f"{array}_{task}" if array and task else raw,
            raw_id=raw,
            task=task,
            end=float(end) if end.isascii() and end.isdigit() and len(end) < 16 else None,
            cgroup=_job_cgroup(raw, root, cgroups.get("", "")),
            outside=any(path.startswith(_OF_A_USER) for path in cgroups.values()),
        )

    @property
    def limiting(self) -> Limiting:
        """What Slurm holds the job to; we set no limits of our own inside."""
        held = {"cpu": self.cpus, "memory": self.memory}
        return Limiting(
            frozenset(name for name, amount in held.items() if amount is not None),
            "Slurm does not hold this job to them (task/cgroup with ConstrainCores and"
            " ConstrainRAMSpace would)",
        )

    @property
    def memory(self) -> int | None:
        """Bytes that all processes of the job may use together; None where nothing holds them."""
        most = self._said("memory.max")
        return int(most) if most.isdigit() else None

    @property
    def cpus(self) -> int | None:
        """How many CPUs the job has to itself; None where nothing keeps it to them."""
        return _count(self._said("cpuset.cpus")) or None

    def _said(self, name: str) -> str:
        return _first_word(f"{self.cgroup}/{name}") if self.cgroup else ""

    def oom_kills(self) -> int:
        """How many of the job's processes the kernel has killed for lack of memory."""
        try:
            with open(f"{self.cgroup}/memory.events", encoding="ascii", errors="replace") as stream:
                counts = dict(line.split() for line in stream)
        except (OSError, ValueError):
            return 0
        return int(counts.get("oom_kill", 0))


def _cgroups() -> dict[str, str]:
    """The cgroup that this process is in, by the controllers of its hierarchy; v2 names none."""
    try:
        lines = [line.split(":", 2) for line in kernel_lines(_TABLE)]
    except OSError:
        return {}
    return {line[1]: line[2] for line in lines if len(line) == 3}


def _job_cgroup(raw_id: str, root: str, path: str) -> str:
    """The directory ``job_ID`` above the cgroup that this process is in.

    Slurm's belong to root. Users can make one of that name below their own session.
    """
    before, found, _after = path.partition(f"/job_{raw_id}/")
    directory = f"{root}{before}/job_{raw_id}"
    return directory if found and _owner(directory) == 0 else ""


def _count(cpus: str) -> int:
    """How many CPUs a list such as ``0-3,7`` names."""
    ranges = (part.partition("-") for part in cpus.split(",") if part)
    return sum(int(last or first) - int(first) + 1 for first, _dash, last in ranges)


def _owner(directory: str) -> int | None:
    """The owner's id; None if there is no such directory."""
    try:
        return os.stat(directory).st_uid
    except OSError:
        return None


def _first_word(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""
