# SPDX-License-Identifier: GPL-3.0-or-later
"""The boundary to Slurm: sbatch, squeue, scontrol, scancel, sacct. Its words and no others."""

from __future__ import annotations

import re

from ..dataclass import dataclass
from ..errors import CesError
from ..typed import Iterable, Sequence
from ..values.command import Command
from ..values.job import JobSpec
from ..values.quantities import spell_bytes
from .process import Finished, Process, Streams, last_lines

ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
)
"""States of a job that is over (squeue(1), JOB STATE CODES)."""
HOPELESS = {
    "PartitionTimeLimit": "the time limit is longer than the partition allows",
    "PartitionNodeLimit": "it asks for more nodes than the partition gives to a job",
    "BadConstraints": "no node has what it asks for",
    "DependencyNeverSatisfied": "what it depends on can no longer happen",
    "InvalidAccount": "the account is not one of this cluster",
    "InvalidQOS": "the quality of service is not one of this cluster",
    "AccountNotAllowed": "the account may not use the partition",
    "QOSNotAllowed": "the quality of service may not use the partition",
    "AssocMaxWallDurationPerJobLimit": "the time limit is longer than the account allows",
    "QOSMaxWallDurationPerJobLimit": "the time limit is longer than the quality of service allows",
    "AssocMaxMemPerJob": "it asks for more memory than the account allows",
    "QOSMaxMemoryPerJob": "it asks for more memory than the quality of service allows",
}
"""Why a job waits, where it would wait for ever: Slurm accepts such jobs (EnforcePartLimits)."""
PARTITIONS = "sinfo --format='%P %l %m' lists the partitions, their time limits and nodes' memory"
ERRORS = (
    ("invalid partition", f"choose another partition: {PARTITIONS}"),
    ("time limit", f"ask for less time: {PARTITIONS}"),
    ("memory specification", f"ask for less memory: {PARTITIONS}"),
    ("node configuration", f"ask for fewer CPUs, less memory or fewer GPUs: {PARTITIONS}"),
    ("more processors", f"ask for fewer CPUs: {PARTITIONS}"),
    ("node count", f"ask for fewer nodes: {PARTITIONS}"),
    ("account or account/partition", "sacctmgr show associations user=$USER lists your accounts"),
    ("invalid account", "sacctmgr show associations user=$USER lists your accounts"),
    ("qos", "sacctmgr show qos lists what there is"),
    ("generic resource", "sinfo --format='%P %G' lists what GPUs the partitions have"),
    ("gres", "sinfo --format='%P %G' lists what GPUs the partitions have"),
    ("dependency", "write it as sbatch(1) has it, afterok:4711, with the number of your own job"),
    ("job array", "the site limits the size of arrays: scontrol show config | grep MaxArraySize"),
    ("unable to contact", "the Slurm controller does not answer: try later"),
    ("socket timed out", "the Slurm controller is busy: look with squeue before you try again"),
    ("invalid user id", "the controller does not know this user: tell the administrator"),
    ("authentication", "munge does not run here, or has another key than the controller"),
    ("access/permission denied", "you may not use the partition: choose another"),
)
"""(part of Slurm's message in lower case, what to do next), looked through in this order."""

_TOO_MUCH = ("node configuration", "memory specification", "more processors", "node count")
"""Parts of Slurm's messages, in lower case, about a job that asks for more than there is."""
_MIB = 1024**2
_QUEUE = "%i|%T|%r|%N"
GONE = "Invalid job id specified"
"""What Slurm says of a job that it has forgotten."""
_NOT_FOUND = re.compile(r"^Job \S+ not found$", re.MULTILINE)
"""What scontrol writes to standard output of a task that was cancelled while its array was pending;
nothing is on standard error."""
_TEST_ANSWER = re.compile(r"Job \d+ to start at (\S+)")
_SHOWN = re.compile(r"\b(JobState|Reason|ExitCode|NodeList|BatchHost|RunTime)=(\S*)")
_TIME = r"(?:([0-9]{1,9})-)?(?:([0-9]{1,9}):)?([0-9]{1,9}):([0-9]{1,9})"
_LONG_ANSWER = Streams(keep=16 * 1024 * 1024)
_SCRIPT = """\
#!/bin/sh
PATH=/usr/local/bin:/usr/bin:/bin
export PATH
exec ces-run --job {number}
"""


@dataclass(frozen=True)
class Job:
    """What Slurm says of a job or of a task of an array.

    :param id: ``4711``, of a task ``4711_3``.
    :param state: in Slurm's words, also those that records do not have.
    :param reason: why it waits, or ended as it did; empty for Slurm's ``None``.
    :param exit_code: ``STATUS:SIGNAL``; like ``elapsed`` known only when asked for by itself.
    """

    id: str
    state: str
    reason: str = ""
    node: str = ""
    exit_code: str = ""
    elapsed: str = ""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED

    @property
    def hopeless(self) -> str:
        """Why it waits for what will never come, or nothing."""
        return HOPELESS.get(self.reason, "") if self.state == "PENDING" else ""


@dataclass(frozen=True)
class Request:
    """A job to be submitted.

    :param name: what squeue lists it as.
    :param cpus: whole CPUs; ``memory`` in MiB.
    :param log: where what ``ces-run`` itself says goes.
    :param unasked: which of the amounts nobody asked for: they are the policy's.
    """

    spec: JobSpec
    name: str
    directory: str
    log: str
    cpus: int | None = None
    memory: int | None = None
    unasked: Sequence[str] = ()

    @property
    def amounts(self) -> str:
        """What the job asks for, in words: Slurm names nothing of what it has not got."""
        spelled = {
            "cpus": self.cpus and f"{self.cpus} CPU{'s' if self.cpus > 1 else ''}",
            "memory": self.memory and f"{spell_bytes(self.memory * _MIB)} of memory",
            "gpus": self.spec.gpus and f"{self.spec.gpus} GPU(s)",
            "nodes": self.spec.nodes and f"{self.spec.nodes} node(s)",
        }
        default = dict.fromkeys(self.unasked, " (this site's default)")
        return ", ".join(f"{text}{default.get(name, '')}" for name, text in spelled.items() if text)


class NoAnswer(CesError):
    """Slurm's controller does not answer: that says nothing about the job."""


class Slurm:
    """This host's Slurm, as one user has it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def submit(self, request: Request, number: int) -> str:
        """Submit the job that runs the run of that number; its id.

        :raises CesError: Slurm refuses, in its words and with what to do.
        """
        command = _sbatch(request, number)
        answer = self._process.run(command)
        if not answer.ok:
            raise self._refused(request, answer)
        number_and_cluster = answer.stdout.strip().partition(";")
        if not re.fullmatch("[0-9]{1,18}", number_and_cluster[0]):
            raise CesError("submit the job", said=last_lines(answer.stdout + answer.stderr))
        return number_and_cluster[0]

    def test(self, request: Request, number: int) -> tuple[Sequence[str], str]:
        """Have Slurm judge a job without submitting it: the command, and when it would start.

        :raises CesError: Slurm would refuse it.
        """
        command = _sbatch(request, number, "--test-only")
        answer = self._process.run(command)
        if not answer.ok:
            raise self._refused(request, answer)
        found = _TEST_ANSWER.search(answer.stderr + answer.stdout)
        return command.argv, found[1] if found else ""

    def queue(self, ids: Iterable[str]) -> dict[str, Job]:
        """The jobs of these ids that Slurm still knows, tasks of arrays one by one.

        :raises NoAnswer: the controller does not answer.
        """
        wanted = ",".join(sorted({job.partition("_")[0] for job in ids}))
        argv = ("squeue", "--noheader", "--all", "--array", "--states=all", f"--jobs={wanted}")
        answer = self._process.run(
            Command((*argv, f"--format={_QUEUE}"), role="slurm"), _LONG_ANSWER
        )
        if not answer.ok:
            if GONE in answer.stderr:
                return {}
            raise _no_answer(answer)
        rows = (line.split("|") for line in answer.stdout.split("\n"))
        jobs = [Job(r[0], r[1], _said(r[2]), _said(r[3])) for r in rows if len(r) == 4]
        return {job.id: job for job in jobs}

    def show(self, job_id: str) -> Job | None:
        """All that Slurm knows of one job or task; None when it has forgotten it.

        :raises NoAnswer: the controller does not answer.
        """
        answer = self._process.run(
            Command(("scontrol", "--oneliner", "show", "job", job_id), role="slurm")
        )
        if not answer.ok:
            if GONE in answer.stderr or _NOT_FOUND.search(answer.stdout):
                return None
            raise _no_answer(answer)
        lines = [line for line in answer.stdout.split("\n") if "JobState=" in line]
        if not lines:
            return None
        # the first of a name counts: what users can write stands behind
        facts = dict(reversed(_SHOWN.findall(lines[0])))
        return Job(
            job_id,
            facts.get("JobState", ""),
            _said(facts.get("Reason", "")),
            _said(facts.get("BatchHost") or facts.get("NodeList", "")),
            facts.get("ExitCode", ""),
            facts.get("RunTime", ""),
        )

    def accounted(self, job_id: str) -> tuple[Job | None, str]:
        """What accounting has of a job that is over, and its largest memory; nothing without it."""
        fields = "JobID,State,ExitCode,NodeList,Elapsed,MaxRSS"
        argv = ("sacct", "--noheader", "--parsable2", f"--jobs={job_id}", f"--format={fields}")
        try:
            answer = self._process.run(Command(argv, role="slurm"))
        except CesError:  # not every host has it
            return None, ""
        rows = [line.split("|") for line in answer.stdout.split("\n") if line.count("|") == 5]
        if not answer.ok or not rows:
            return None, ""
        # State may be "CANCELLED by 1000"
        whole = next((row for row in rows if row[0] == job_id), rows[0])
        state = whole[1].split(" ")[0]
        memory = max((row[5] for row in rows), key=_kibibytes, default="")
        return Job(job_id, state, "", whole[3], whole[2], whole[4]), memory

    def cancel(self, job_id: str) -> None:
        """End a job, queued or running.

        :raises CesError: Slurm refuses.
        """
        answer = self._process.run(Command(("scancel", job_id), role="slurm"))
        if not answer.ok and GONE not in answer.stderr:
            answer.check(f"cancel job {job_id}", hint_for(answer.stderr))

    def time_left(self, job_id: str) -> float | None:
        """Seconds until a job's time is over; None if nobody knows."""
        command = Command(("squeue", "--noheader", f"--jobs={job_id}", "--format=%L"), role="slurm")
        answer = self._process.run(command)
        return _seconds(answer.stdout) if answer.ok else None

    def longest(self, partition: str | None) -> tuple[str, float | None]:
        """A partition, the default one if none is named, and the seconds that its jobs may take."""
        try:
            answer = self._process.run(
                Command(("sinfo", "--noheader", "--format=%P %l"), role="slurm")
            )
        except CesError:
            return "", None
        for line in answer.stdout.split("\n")[:-1]:
            name, _space, limit = line.strip().partition(" ")
            if name.rstrip("*") == partition or (partition is None and name.endswith("*")):
                return name.rstrip("*"), _seconds(limit)
        return "", None

    def _refused(self, request: Request, answer: Finished) -> CesError:
        said = last_lines(_without_prefix(answer.stderr))
        if "batch job submission failed:" in said.lower():
            said = said[said.lower().index("batch job submission failed:") :].partition(": ")[2]
        hint = hint_for(said)
        if any(part in said.lower() for part in _TOO_MUCH) and request.amounts:
            said = f"{said.rstrip('.')}: it asks for {request.amounts}"
        partitions = self._partitions() if "invalid partition" in said.lower() else ""
        if partitions:
            hint = f"partitions here: {partitions}"
        where = f" to partition {request.spec.partition}" if request.spec.partition else ""
        return CesError(
            f"submit {request.name}{where}",
            said=said or f"sbatch exited with {answer.rc}",
            hint=hint,
            cmd=answer.argv,
            rc=answer.rc,
            stdout=answer.stdout,
            stderr=answer.stderr,
        )

    def _partitions(self) -> str:
        try:
            answer = self._process.run(
                Command(("sinfo", "--noheader", "--format=%R %l"), role="slurm")
            )
        except CesError:
            return ""
        rows = [line.split() for line in answer.stdout.split("\n") if line.count(" ") == 1]
        return ", ".join(f"{name} (up to {limit})" for name, limit in rows) if answer.ok else ""


def hint_for(message: str) -> str:
    """What to do about what Slurm said."""
    low = message.lower()
    return next((cure for part, cure in ERRORS if part in low), "")


def _sbatch(request: Request, number: int, *mode: str) -> Command:
    """Nothing of the run is in it but its number: Slurm keeps script, options and environment."""
    spec = request.spec
    minutes = spec.time_limit_minutes
    options = {
        "partition": spec.partition,
        "account": spec.account,
        "qos": spec.qos,
        "time": minutes,
        "nodes": spec.nodes,
        "cpus-per-task": request.cpus,
        "mem": None if request.memory is None else f"{request.memory}M",
        "gres": None if spec.gpus is None else f"gpu:{spec.gpus}",
        "array": spec.array,
        "dependency": spec.dependency,
    }
    given = (f"--{name}={value}" for name, value in options.items() if value is not None)
    argv = (
        "sbatch",
        "--parsable",
        *mode,
        "--export=NIL",
        # a run that is started a second time would find its record closed
        "--no-requeue",
        f"--job-name={request.name}",
        f"--chdir={request.directory}",
        f"--output={request.log}",
        *given,
        *spec.extra,
    )
    return Command(argv, stdin=_SCRIPT.format(number=number), role="slurm")


def _no_answer(answer: Finished) -> NoAnswer:
    said = last_lines(_without_prefix(answer.stderr)) or f"{answer.argv[0]} exited with {answer.rc}"
    return NoAnswer("ask Slurm", said=said, hint=hint_for(said), cmd=answer.argv, rc=answer.rc)


def _without_prefix(text: str) -> str:
    return re.sub(r"(?m)^(sbatch|squeue|scontrol|scancel|slurm_load_jobs)(: error)?: ", "", text)


def _said(word: str) -> str:
    return "" if word in ("None", "(null)", "N/A", "n/a") else word


def _seconds(text: str) -> float | None:
    """From ``1-02:03:04``, ``02:03:04`` or ``03:04``; None for what is no time (``infinite``)."""
    match = re.fullmatch(_TIME, text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _kibibytes(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,18}(?:[.][0-9]+)?)([KMGT]?)", text)
    return float(match[1]) * 1024 ** "KMGT".find(match[2] or "K") if match else -1.0
