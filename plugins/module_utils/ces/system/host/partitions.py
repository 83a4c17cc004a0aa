# SPDX-License-Identifier: GPL-3.0-or-later
"""The partitions and nodes of a cluster, and who may use them, as Slurm tells root."""

from __future__ import annotations

from ...dataclass import dataclass
from ...errors import CesError
from ...shown import shown
from ...typed import Iterator, Mapping, Sequence
from ...values.command import Command
from ..process import Finished, Process, Streams, last_lines
from .people import first_member

UP = ("idle", "mixed", "allocated", "completing", "planned")
"""States of nodes that take jobs, or will in a moment (sinfo(1), NODE STATE CODES)."""
_MARKS = "+-@"
"""After the state of a node that takes jobs. One that does not answer, or sleeps, has others."""
_QUICK = Streams(timeout=10.0, keep=1024 * 1024)
_ALL = "all"
_UNCONFIGURED = "configuration source"


@dataclass(frozen=True)
class Node:
    """A node; ``partitions`` are the names of all that have it."""

    name: str
    state: str
    gpu: bool
    partitions: tuple[str, ...]

    @property
    def up(self) -> bool:
        return self.state.rstrip(_MARKS) in UP


@dataclass(frozen=True)
class Partition:
    """A partition.

    :param state: ``up``, or why it takes no jobs.
    :param groups: whose members may use it; everybody, if empty.
    """

    name: str
    state: str
    groups: tuple[str, ...]
    nodes: tuple[Node, ...]

    def user_of(self, users: Sequence[str]) -> str:
        """The first of these users who may use it; '' if none may."""
        return first_member(users, self.groups)

    @property
    def closed(self) -> tuple[str, str]:
        """Why no job can run in it, and what to do; empty words where one can."""
        if self.state != "up":
            cure = f"the administrator runs: scontrol update partitionname={self.name} state=up"
            return f"the partition is {self.state}", cure
        if not self.nodes:
            return "the partition has no nodes", "the administrator gives it some, or removes it"
        if not any(node.up for node in self.nodes):
            states = ", ".join(dict.fromkeys(node.state for node in self.nodes))
            cure = "sinfo --list-reasons says why; the administrator mends that, and then runs:"
            return (
                f"all nodes of the partition are out of use ({states})",
                f"{cure} scontrol update nodename=NODE state=resume",
            )
        return "", ""


@dataclass(frozen=True)
class Cluster:
    """What Slurm tells; nothing on a host without its commands.

    :param silence: why it tells nothing, or ''.
    :param configured: whether this host was told which cluster it is of.
    """

    partitions: Mapping[str, Partition]
    nodes: tuple[Node, ...] = ()
    silence: str = ""
    configured: bool = True


def look_at_partitions(process: Process) -> Cluster:
    """Ask Slurm. Nothing is raised: an answer that is none is told as such."""
    try:
        rows = _rows(process, "--format=%R|%a|%g")
        nodes = _nodes(_rows(process, "--Node", "--format=%N|%R|%T|%G"))
    except _Silent as silent:
        said = str(silent)
        return Cluster({}, silence=said, configured=_UNCONFIGURED not in said)
    except CesError:  # no such program
        return Cluster({})
    found: dict[str, Partition] = {}
    # a partition may have been made between the two answers
    made = ([name, "up", _ALL] for node in nodes for name in node.partitions)
    for name, state, groups in [*rows, *made]:
        named = () if groups == _ALL else tuple(groups.split(","))
        has = tuple(node for node in nodes if name in node.partitions)
        found.setdefault(name, Partition(name, state, named, has))
    return Cluster(found, tuple(nodes))


class _Silent(Exception):
    """Slurm gives no answer."""


def _rows(process: Process, *options: str) -> Iterator[list[str]]:
    """
    :raises CesError: there is no such program.
    :raises _Silent: it does not answer.
    """
    done = process.run(Command(("sinfo", "--noheader", *options), role="slurm"), _QUICK)
    if not done.ok:
        raise _Silent(_words(done))
    width = options[-1].count("|") + 1
    rows = (line.strip().split("|") for line in done.stdout.splitlines())
    return iter([row for row in rows if len(row) == width])


def _words(done: Finished) -> str:
    if done.stopped_by:
        return f"no answer within {_QUICK.timeout:g} s"
    return shown(last_lines(done.stderr)) or f"sinfo ended with {done.rc}"


def _nodes(rows: Iterator[list[str]]) -> list[Node]:
    """Each node once: a row is a node in one partition."""
    states: dict[str, tuple[str, bool]] = {}
    partitions: dict[str, list[str]] = {}
    for name, partition, state, gres in rows:
        gpu = any(one.split(":")[0] == "gpu" for one in gres.split(","))
        states.setdefault(name, (state, gpu))
        partitions.setdefault(name, []).append(partition)
    return [
        Node(name, *states[name], partitions=tuple(partitions[name])) for name in sorted(states)
    ]
