# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that Slurm has taken on: wait for them, stop them, know how they ended.

The record says so where the node could write it. Where it could not, Slurm is asked, and whoever
asks closes the record.
"""

from __future__ import annotations

import os
import time

from ..blocks import suppress
from ..dataclass import asdict, dataclass
from ..errors import EXIT_OURS, Busy, CesError
from ..system.audit import audit_run
from ..system.files import regular, remove_tree
from ..system.job_files import JobFiles
from ..system.process import TAIL
from ..system.slurm import PARTITIONS, Job, NoAnswer, Slurm
from ..system.system import System
from ..typed import Any, Mapping
from ..values.record import LIVE, RunRecord, utc_now
from .jobs import TASK, Submitted, close_queued
from .run import Ran
from .verdict import TIME_OVER, TIMEOUT_STATUS

POLL_INTERVAL = 5.0
"""Seconds between two questions to Slurm while we wait; the record is looked at more often."""
_LOOK = 0.1
_LOOK_SLOWLY = 1.0
_CONSIDERING = (0.1, 0.1, 0.2, 0.2, 0.4, 0.4)
"""Seconds that Slurm gets to say why a new job has not started."""
_SETTLING = 10.0
"""Seconds that a job and its record may take to agree that the run is over."""
_STOPPING = 90.0
"""Seconds until a cancelled job must be over: Slurm's KillWait is 30, and then it is cleared."""

_AS_RECORDED = {
    "BOOT_FAIL": "NODE_FAIL",
    "DEADLINE": "TIMEOUT",
    "LAUNCH_FAILED": "FAILED",
    "PREEMPTED": "CANCELLED",
    "REVOKED": "CANCELLED",
}
"""Slurm's states that records do not have."""
_REASONS = {
    "CANCELLED": "the job was cancelled",
    "NODE_FAIL": "the node failed",
    "OUT_OF_MEMORY": "the kernel killed it for lack of memory",
    "TIMEOUT": TIME_OVER,
    "COMPLETED": "the job ended without a word in the run's record",
    "FAILED": "the job ended without a word in the run's record",
}
_STATUS = {"TIMEOUT": TIMEOUT_STATUS, "OUT_OF_MEMORY": 128 + 9, "CANCELLED": 128 + 15}
_UNREACHED = (
    "is the home directory shared with the node, and are the commands (role ces_tools) there?"
)


@dataclass(frozen=True)
class JobEnd:
    """What became of one run.

    :param facts: Slurm's own: ``job_id``, ``state``, ``reason``, ``exit_code``, ``node``,
        ``elapsed``, ``max_memory``, ``log``.
    """

    ran: Ran
    facts: dict[str, Any]


def refuse_what_never_starts(submitted: Submitted, system: System) -> None:
    """Slurm takes on what no partition can run, and lets it wait for ever: say so now.

    :raises CesError: it has been cancelled again, and why.
    """
    slurm = Slurm(system.process)
    for pause in _CONSIDERING:
        try:
            job = next(iter(slurm.queue([submitted.job_id]).values()), None)
        except NoAnswer:
            return
        if job is None or job.state != "PENDING" or job.reason:
            break
        time.sleep(pause)
    if job is None or not job.hopeless:
        return
    slurm.cancel(submitted.job_id)
    error = _never_starts(submitted.records[0], job)
    close_queued(submitted.records, error, system)
    raise error


def _never_starts(record: RunRecord, job: Job) -> CesError:
    return CesError(
        f"run {record.image} as job {job.id}",
        said=f"{job.hopeless} (Slurm: {job.reason})",
        hint=f"ask for less, or for another partition: {PARTITIONS}",
    )


def follow(
    submitted: Submitted, system: System, poll_interval: float = POLL_INTERVAL
) -> list[JobEnd]:
    """Wait until all runs have ended, whatever happens to Slurm's controller meanwhile."""
    waiting = {record.run_id: record for record in submitted.records}
    watch = _Watch(submitted, system, poll_interval)
    ends: dict[int, JobEnd] = {}
    look = _LOOK
    while True:
        for number in list(waiting):
            record = watch.ended(number)
            if record is not None:
                ends[number] = _end(record, waiting.pop(number), submitted, system)
        if not waiting:
            return [ends[record.run_id] for record in submitted.records]
        if not watch.ask(waiting):
            time.sleep(look)
            look = min(look * 1.2, _LOOK_SLOWLY)


class _Watch:
    """Looks at records often and asks Slurm now and then, which may not answer for a while."""

    def __init__(self, submitted: Submitted, system: System, poll_interval: float) -> None:
        self._submitted, self._system, self._interval = submitted, system, poll_interval
        self._ask_at = time.monotonic() + poll_interval
        self._silent = False
        self._lost: dict[int, float] = {}
        """Since when Slurm has said of a run that it is over, while its process lives."""

    def ended(self, number: int) -> RunRecord | None:
        """The record of a run that is over."""
        record = self._system.records.load(number)
        if not _is_open(record):
            return record
        if number in self._lost and time.monotonic() - self._lost[number] > _SETTLING:
            # its node cannot be reached: the record there stays open until that is over
            job_id = record.slurm_job_id or self._submitted.job_id
            with suppress(NoAnswer):
                job = Slurm(self._system.process).show(job_id)
                _judge(record, job, JobFiles(self._system.account.state).directory(number))
                return record
        if record.state not in LIVE:  # it was cleared away by somebody who knew no more
            self._ask_at = min(self._ask_at, time.monotonic() + _LOOK_SLOWLY)
        return None

    def ask(self, waiting: Mapping[int, RunRecord]) -> bool:
        """Ask Slurm, if it is time to."""
        now = time.monotonic()
        if now < self._ask_at:
            return False
        try:
            living = settle(self._system, waiting)
        except NoAnswer as error:
            if not self._silent:
                self._system.tell(f"warning: {error}. The job goes on, and we wait for it")
            self._silent = True
        else:
            self._silent = False
            _give_up_hopeless(living, waiting, self._system)
            over = waiting.keys() - living.keys()
            self._lost = {number: self._lost.get(number, now) for number in over}
        self._ask_at = time.monotonic() + self._interval
        return True


def _give_up_hopeless(
    living: Mapping[int, Job], waiting: Mapping[int, RunRecord], system: System
) -> None:
    for number, job in living.items():
        if job.hopeless:
            Slurm(system.process).cancel(job.id)
            close_queued([waiting[number]], _never_starts(waiting[number], job), system)


def settle(system: System, only: Mapping[int, object] | None = None) -> dict[int, Job]:
    """Ask Slurm about the runs whose end nobody has told, and write down what it says of each.

    :returns: what Slurm says of those that are not over.
    :raises NoAnswer: the controller does not answer; nothing is changed.
    """
    files, slurm = JobFiles(system.account.state), Slurm(system.process)
    expected = {
        number: job for number, job in files.expected().items() if only is None or number in only
    }
    living: dict[int, Job] = {}
    if not expected:
        return living
    known = slurm.queue(expected.values())
    for number, job_id in expected.items():
        job = known.get(job_id)
        if job is not None and not job.over:
            living[number] = job
            continue
        _settle_one(number, job or Job(job_id, ""), slurm, files, system)
    return living


def stop_job(record: RunRecord, system: System) -> RunRecord:
    """Cancel the job of a run, and wait until it is over.

    :raises CesError: Slurm refuses, or does not answer.
    """
    number = record.run_id
    job_id = JobFiles(system.account.state).job_of(number) or record.slurm_job_id
    if job_id is None:
        raise CesError(f"stop run {number}", said="it is just being submitted", hint="try again")
    Slurm(system.process).cancel(job_id)
    end, look = time.monotonic() + _STOPPING, _LOOK
    while record.state in LIVE or record.rc is None:
        if time.monotonic() > end:
            raise Busy(
                f"stop run {number}",
                said=f"job {job_id} is still there {_STOPPING:g} s after scancel",
                hint="try again, or tell the administrator",
            )
        with suppress(NoAnswer):
            settle(system, {number: record})
        record = system.records.load(number)
        if record.state not in LIVE and number not in JobFiles(system.account.state).expected():
            break
        time.sleep(look)
        look = min(look * 1.5, _LOOK_SLOWLY)
    return record


def _is_open(record: RunRecord) -> bool:
    """Whether nobody has told how it ended: it runs, or was swept by somebody who did not know."""
    return record.state in LIVE or record.rc is None


def _settle_one(number: int, queued: Job, slurm: Slurm, files: JobFiles, system: System) -> None:
    """Slurm says that the job is over, or has forgotten it: so is the run.

    :param queued: what the queue says of it, which is less than Slurm knows of most jobs; without
        a state if nothing.
    """
    run = system.records.claim(number)
    if run is None:  # the process on the node is just writing down how it ended
        return
    try:
        record = system.records.load(number)
        if _is_open(record):
            job = slurm.show(queued.id) or slurm.accounted(queued.id)[0] or queued
            _judge(record, job if job.state else None, files.directory(number))
            _remove_scratch(record, system)
            run.save_last(record)
            audit_run(system.policy, record)
        run.finish()
    finally:
        run.release()
    files.settled(number)


def _judge(record: RunRecord, job: Job | None, directory: str) -> None:
    """State, reason and exit status, from what Slurm says."""
    begun = record.state != "PENDING"
    record.ended = record.ended or utc_now()
    record.slurm_job_id = record.slurm_job_id or (job.id if job else None)
    if job is None:
        record.state, record.rc = "CANCELLED", EXIT_OURS
        record.reason = "Slurm has forgotten the job, and nobody wrote down how the run ended"
        return
    record.state = _AS_RECORDED.get(job.state, job.state)
    if not job.over or record.state == "COMPLETED":
        record.state = "FAILED"
    status, _colon, signal = job.exit_code.partition(":")
    own = int(status) if status.isdigit() else 0
    if signal.isdigit() and int(signal):
        own = 128 + int(signal)
    record.rc = _STATUS.get(record.state) or own or EXIT_OURS
    record.host = record.host or job.node
    reason = _REASONS.get(record.state, "the job is over")
    if not begun and record.state == "CANCELLED":
        reason = "the job was cancelled before it started"
    elif not begun and record.state == "FAILED":
        reason = (
            f"the job ended before the run began; {directory}/slurm.log may say why. {_UNREACHED}"
        )
    elif record.state == "NODE_FAIL" and job.node:
        reason = f"the node {job.node} failed"
    record.reason = f"{reason} (Slurm: {job.state}{', ' + job.reason if job.reason else ''})"


def _remove_scratch(record: RunRecord, system: System) -> None:
    """The directory lies in the shared home; what else is left on a node is for its epilog."""
    if record.scratch_created:
        try:
            if os.path.lexists(record.scratch):
                remove_tree(record.scratch)
        except CesError as error:
            record.warnings = (*record.warnings, str(error))


def _end(record: RunRecord, before: RunRecord, submitted: Submitted, system: System) -> JobEnd:
    """The run's end, with Slurm's own view of it, which may come a moment later than the record."""
    slurm, job_id = Slurm(system.process), before.slurm_job_id or submitted.job_id
    job, end = None, time.monotonic() + _SETTLING
    with suppress(NoAnswer):
        job = slurm.show(job_id)
        while job is not None and not job.over and time.monotonic() < end:
            time.sleep(_LOOK)
            job = slurm.show(job_id)
    accounted, memory = slurm.accounted(job_id)
    job = job or accounted
    facts = {
        **asdict(job or Job(job_id, "")),
        "max_memory": memory,
        "log": submitted.log.replace(TASK, job_id.partition("_")[2]),
    }
    facts["job_id"] = facts.pop("id")
    if job is not None and job.over and record.state == "CANCELLED":
        said = _AS_RECORDED.get(job.state, job.state)
        # a job whose run was stopped by a signal alone ends with that status: Slurm knows no more
        record.state = record.state if said in ("COMPLETED", "FAILED") else said
    return JobEnd(Ran(record, _tail(record.log), ""), facts)


def _tail(path: str) -> str:
    """The end of a log, which has both outputs."""
    try:
        with open(path, "rb", opener=regular) as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
