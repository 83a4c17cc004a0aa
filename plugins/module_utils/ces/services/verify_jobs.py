# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove a cluster: a container in a job of each partition, and ``--container`` on each node."""

from __future__ import annotations

import os
import sys

from ..blocks import contextmanager
from ..errors import CesError
from ..json_text import dumps, loads
from ..shown import shown
from ..system.account import Account
from ..system.files import random_name, remove_tree
from ..system.host.partitions import Cluster, Node, Partition, look_at_partitions
from ..system.host.small_root import SHELL
from ..system.process import Finished, Process, Streams, SystemProcess, last_lines
from ..system.slurm import hint_for
from ..system.system import System
from ..typed import Callable, Iterator, Sequence
from ..values.command import Command
from ..values.finding import Finding
from .errands import Errand
from .prove import prove_engine, prove_gpus
from .shell_bundle import WORD_FILE, make_shell_bundle

CORE = "/usr/local/lib/tre-ces"
"""Where the role ces_tools puts this program on nodes."""
_JOB = Streams(timeout=100.0, keep=1024 * 1024)
_QUICK = Streams(timeout=10.0, keep=1024 * 1024)
_SRUN = (
    *("srun", "--quiet", "--nodes=1", "--ntasks=1", "--mem=256", "--time=1", "--immediate=30"),
    *("--chdir=/", "--job-name=tre-ces-verify"),
)
_BUSY = ("Requested nodes are busy", "Requested partition configuration not available now")
_PROGRAM = f"""\
import sys
sys.path.insert(0, {CORE!r})
sys.dont_write_bytecode = True
from ces.services.verify_jobs import answer_in_job
answer_in_job(%r, gpu=%r)
"""


def slurm_version(process: Process) -> str:
    """Slurm's own word for its version; '' on a host without Slurm's commands."""
    return shown(" ".join(_rows(process, "sinfo", "--version")))


def job_errands(users: Sequence[str], engines: Sequence[str], process: Process) -> Iterator[Errand]:
    """A job for each engine in each partition, and a bundle on each node; none without Slurm."""
    cluster = look_at_partitions(process)
    if cluster.silence:
        yield Errand("job", users[0], _told(_silent("job", cluster)), "", "the cluster")
    for partition in cluster.partitions.values():
        user, closed = _user_of(partition, users)
        for engine in engines:
            work = _job((f"--partition={partition.name}",), engine)
            work = _told(closed("job")) if closed else work
            yield Errand("job", user, work, engine, f"partition {partition.name}")
    for node in cluster.nodes:
        user, name, closed = _way_to(node, cluster, users)
        work = _told(closed("slurm_container")) if closed else _bundle(node.name, name)
        yield Errand("slurm_container", user, work, "", f"node {node.name}")


def gpu_errands(users: Sequence[str], engines: Sequence[str], process: Process) -> Iterator[Errand]:
    """A job with a GPU for each engine on each node that has one."""
    cluster = look_at_partitions(process)
    if cluster.silence:
        yield Errand("gpu", users[0], _told(_silent("gpu", cluster)), "", "the cluster")
    for node in cluster.nodes:
        user, name, closed = _way_to(node, cluster, users)
        options = (f"--partition={name}", f"--nodelist={node.name}", "--gres=gpu:1")
        for engine in engines if node.gpu else ():
            work = _told(closed("gpu")) if closed else _job(options, engine, gpu=True)
            yield Errand("gpu", user, work, engine, f"node {node.name}")


Closed = Callable[[str], Finding]
"""Why no job is run there, as the finding of a check."""


def _silent(check: str, cluster: Cluster) -> Finding:
    if not cluster.configured:
        said = "Slurm's commands are here, and know of no cluster: no job was run"
        return Finding(check, "note", said)
    said = f"Slurm does not answer ({cluster.silence}): no job was run"
    cure = "the administrator looks at slurmctld, and at munge's key here; then verify again"
    return Finding(check, "fault", said, cure, "slurm")


def _user_of(partition: Partition, users: Sequence[str]) -> tuple[str, Closed | None]:
    """Who runs a job in a partition; or why nobody does."""
    reason, cure = partition.closed
    if reason:
        return users[0], lambda check: Finding(
            check, "warning", f"{reason}: no job was run", cure, "slurm"
        )
    user = partition.user_of(users)
    if user:
        return user, None
    said = f"none of the users may use it (it is for {', '.join(partition.groups)})"
    return users[0], lambda check: Finding(check, "note", said)


def _way_to(node: Node, cluster: Cluster, users: Sequence[str]) -> tuple[str, str, Closed | None]:
    """Who runs a job on a node, and in which of its partitions; or why nobody does."""
    if not node.up:
        return users[0], "", lambda check: _out_of_use(check, node)
    ways = [(*_user_of(cluster.partitions[name], users), name) for name in node.partitions]
    user, closed, name = next((way for way in ways if way[1] is None), ways[0])
    return user, name, closed


def _told(finding: Finding) -> Callable[[], Iterator[Finding]]:
    return lambda: iter([finding])


def answer_in_job(engine: str, gpu: bool = False) -> None:
    """In the job: print what was found of a container, as one line of JSON."""
    prove = prove_gpus if gpu else prove_engine
    findings = [one.as_dict() for one in prove(engine, System.here())]
    answer = {"node": os.uname().nodename, "findings": findings}
    sys.stdout.write(f"{dumps(answer)}\n")


def _rows(process: Process, *argv: str) -> list[str]:
    """The lines of an answer; none where there is no such program, or no answer."""
    try:
        done = process.run(Command(argv, role="slurm"), _QUICK)
    except CesError:
        return []
    return done.stdout.split("\n")[:-1] if done.ok else []


# --- as the user ---


def _job(options: Sequence[str], engine: str, gpu: bool = False) -> Callable[[], Iterator[Finding]]:
    what, tried = ("gpu", "use a GPU in a job") if gpu else ("job", "run a container in a job")

    def work() -> Iterator[Finding]:
        argv = (*_SRUN, *options, "/usr/bin/python3", "-IS", "-")
        done = _srun(Command(argv, stdin=_PROGRAM % (engine, gpu), role="slurm"))
        try:
            answer = loads(done.stdout.strip().rpartition("\n")[2])
            node, found = str(answer["node"]), [Finding(**raw) for raw in answer["findings"]]
        except (ValueError, KeyError, TypeError):
            yield _refused(what, done, tried)
            return
        yield Finding(what, "ok", f"a job ran on {node}")
        yield from found

    return work


def _out_of_use(check: str, node: Node) -> Finding:
    said = f"the node is {node.state}: no job was run on it"
    cure = f"scontrol show node {node.name} says why; the administrator mends that, and resumes it"
    return Finding(check, "warning", said, cure, "slurm")


def _bundle(node: str, partition: str) -> Callable[[], Iterator[Finding]]:
    def work() -> Iterator[Finding]:
        word = random_name()
        with _bundle_with(word) as bundle:
            options = (f"--partition={partition}", f"--nodelist={node}", f"--container={bundle}")
            script = f"read word < /{WORD_FILE}; echo $word"
            done = _srun(Command((*_SRUN, *options, SHELL, "-c", script), role="slurm"))
        if done.stdout.strip() == word:
            said = "a job with --container ran in its bundle, and saw a file that is only there"
            yield Finding("slurm_container", "ok", said)
        else:
            yield _refused("slurm_container", done, "run a job in a bundle")

    return work


def _srun(command: Command) -> Finished:
    return SystemProcess().run(command, _JOB)


def _refused(check: str, done: Finished, tried: str) -> Finding:
    said = last_lines(done.stderr) or f"srun ended with {done.rc}, and no word"
    if any(part in said for part in _BUSY):
        return Finding(check, "warning", "the nodes are busy: no job was run", "verify later")
    cure = hint_for(said) or "the administrator applies the roles slurm_oci and ces_tools"
    return Finding(check, "fault", f"could not {tried}: {shown(said)}", cure, "slurm_oci")


@contextmanager
def _bundle_with(word: str) -> Iterator[str]:
    """A bundle of the host's own shell, in the home that nodes share; gone after the block."""
    account = Account.current()
    path = f"{account.state}/verify-{word}"
    try:
        yield make_shell_bundle(path, word, account, SystemProcess())
    finally:
        remove_tree(path)
