# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container saw of itself, and what was seen of it from outside: the facts of a proof."""

from __future__ import annotations

from ..dataclass import dataclass

Range = tuple[int, int, int]
"""A line of a uid map: the first id inside, the first id outside, how many."""


@dataclass(frozen=True)
class Seen:
    """One container of one user under one engine.

    :param refused: why no container ran, or ''. Then nothing below ``cure`` is known.
    :param cure: who mends that, and how.
    :param heard: what the container wrote to its output arrived in the run's log.
    :param id_map: the ids that exist in the container.
    :param ranged: the engine gives containers the user's subordinate ids.
    :param owner: the uid that owns, on the host, the file that the container wrote; None if there
        is no such file.
    :param arrived: the file in ``/safe_outputs`` holds what the container wrote.
    :param readable: directories of the contract that the container could list.
    :param written: those in which it could make a file.
    :param data_access: ``ro`` or ``rw``, as the policy has it for ``/safe_data``.
    :param may_write: the user may write to the project's data outside of a container.
    :param no_project: why the container had a stand-in for project data, or ''.
    :param network: the mode that the run had.
    :param interfaces: network interfaces in the container, ``lo`` left out.
    :param routes: how many routes lead out of the container.
    :param cpus: what the policy gives to a run; None for no limit. ``memory`` is in bytes.
    :param seen_cpus: the limit that the container read in its cgroup, likewise ``seen_memory``;
        None where it saw none.
    :param enforced: this host can hold the container to its limits.
    :param unenforced: why not, or ''.
    :param in_job: the container ran in a Slurm job, whose limits are the container's.
    :param gpus: device files of GPUs that the container could open; ``given``: those that it was
        to have, None where no CDI specification says which.
    :param status: the exit status that the container was told to end with.
    :param rc: the one that came through.
    :param state: the run's state in its record.
    :param closed: the record is closed: nobody answers for the run any more.
    :param left: what was left behind, one sentence each.
    """

    user: str
    uid: int
    engine: str
    refused: str = ""
    cure: str = ""
    heard: bool = False
    id_map: tuple[Range, ...] = ()
    ranged: bool = False
    owner: int | None = None
    arrived: bool = False
    readable: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    data_access: str = "rw"
    may_write: bool = True
    no_project: str = ""
    network: str = "none"
    interfaces: tuple[str, ...] = ()
    routes: int = 0
    cpus: float | None = None
    memory: int | None = None
    seen_cpus: float | None = None
    seen_memory: int | None = None
    enforced: bool = True
    unenforced: str = ""
    in_job: bool = False
    gpus: tuple[str, ...] = ()
    given: tuple[str, ...] | None = ()
    status: int = 0
    rc: int | None = None
    state: str = ""
    closed: bool = False
    left: tuple[str, ...] = ()
