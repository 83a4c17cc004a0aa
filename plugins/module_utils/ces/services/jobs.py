# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that Slurm starts: submit them, be one, follow them, know how they ended.

The home directory is shared between the host that submits and the nodes: record, log and the run
itself travel in it, and the job's script holds nothing but the run's number.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from ..dataclass import asdict, dataclass, replace
from ..errors import EXIT_OURS, Busy, CesError, NotFound
from ..system.audit import audit_run
from ..system.authfile import login_for
from ..system.files import remove_tree
from ..system.job_files import JobFiles
from ..system.process import TAIL
from ..system.records import ActiveRun
from ..system.signals import StopSignals
from ..system.slurm import HOPELESS, PARTITIONS, Job, NoAnswer, Request, Slurm
from ..system.system import System
from ..typed import Any
from ..values.image import ImageFile
from ..values.job import JobSpec, read, written
from ..values.record import LIVE, RunRecord, utc_now
from ..values.spec import Credentials, RunSpec
from .clean import sweep_others
from .plan import Plan, plan_run
from .run import TIMEOUT_STATUS, Ran, is_free, run_claimed

POLL_INTERVAL = 5.0
"""Seconds between two questions to Slurm while we wait; the record is looked at more often."""
_LOOK = 0.1
_LOOK_SLOWLY = 1.0
_SETTLING = 10.0
"""Seconds that a job and its record may take to agree that the run is over."""
_CLAIM = 60.0
"""Seconds that whoever submitted a run may take to let go of it."""
_CONSIDERING = (0.1, 0.1, 0.2, 0.2, 0.4, 0.4)
"""Seconds that Slurm gets to say why a new job has not started."""
_STOPPING = 90.0
"""Seconds until a cancelled job must be over: Slurm's KillWait is 30, and then it is cleared."""
_MIB = 1024**2

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
    "TIMEOUT": "the time that Slurm gave the job was over",
    "COMPLETED": "the job ended without a word in the run's record",
    "FAILED": "the job ended without a word in the run's record",
}
_STATUS = {"TIMEOUT": TIMEOUT_STATUS, "OUT_OF_MEMORY": 128 + 9, "CANCELLED": 128 + 15}
_UNREACHED = (
    "is the home directory shared with the node, and are the commands (role ces_tools) there?"
)


@dataclass(frozen=True)
class Submitted:
    """Runs that Slurm has taken on: one, or one for each task of an array.

    :param records: as they were when they were submitted.
    """

    job_id: str
    records: Sequence[RunRecord]
    log: str


@dataclass(frozen=True)
class JobEnd:
    """What became of one run.

    :param facts: Slurm's own: ``job_id``, ``state``, ``reason``, ``exit_code``, ``node``,
        ``elapsed``, ``max_memory``, ``log``.
    """

    ran: Ran
    facts: dict[str, Any]


def planned_job(
    spec: RunSpec, job: JobSpec, system: System
) -> tuple[RunRecord, tuple[str, ...], str]:
    """What submitting would do: the record, the command, and when Slurm thinks that it could start.

    :raises CesError: it would be refused, by us or by Slurm.
    """
    spec, plan = _settled(spec, job, system)
    number = system.records.expected_number()
    request = _request(plan, job, number, system)
    slurm = Slurm(system.process)
    argv, start = slurm.test(request, number)
    # Slurm does not mind, and would let it wait for ever; only a quality of service can allow more
    partition, longest = slurm.longest(job.partition)
    minutes = job.time_limit_minutes
    if longest is not None and minutes is not None and minutes * 60 > longest and job.qos is None:
        raise CesError(
            f"submit {request.name} to partition {partition}",
            said=HOPELESS["PartitionTimeLimit"],
            hint=f"ask for less, or of another partition: {PARTITIONS}",
        )
    return _pending(plan, number, system), tuple(argv), start


def submit_run(spec: RunSpec, job: JobSpec, system: System) -> Submitted:
    """Have Slurm run a container as soon as it can.

    :raises CesError: it was refused, by us or by Slurm; the record says so too.
    """
    with StopSignals() as signals:
        system.process.signals = signals
        spec, plan = _settled(spec, job, system)
        sweep_others(system)
        login = _login(spec, plan, system)
        runs, records = _open(replace(spec, credentials=login), plan, job, system)
        try:
            job_id = _submit(plan, job, runs, records, system)
        finally:
            for run in runs:
                run.release()
    _refuse_what_never_starts(job_id, records, system)
    return Submitted(job_id, records, _log(job, runs[0].run_id, system))


def run_job(first: int, system: System) -> Ran:
    """Be the job of a run, or of one of an array's: what its script calls.

    :raises CesError: this is no such job, or the run was refused, or could not be started.
    """
    job = system.allocation
    if job is None:
        raise CesError(
            f"be the job of run {first}",
            said="this is no Slurm job",
            hint="ces-run IMAGE runs a container; --job is for the scripts of tre.ces.ces_run",
        )
    files = JobFiles(system.account.state)
    with StopSignals() as signals:
        system.process.signals = signals
        number = files.number_of_task(first, job.task) if job.task else first
        active = _claimed(number, system)
        try:
            record = system.records.load(number)
            if record.state != "PENDING" or record.scheduler != "slurm":
                raise CesError(f"be the job of run {number}", said=f"it is {record.state} already")
            record.state, record.started, record.host = "RUNNING", utc_now(), system.host
            record.slurm_job_id, record.pid = job.job_id, os.getpid()
            record.slurm_raw_id = job.raw_id if job.raw_id != job.job_id else None
            active.save(record, durable=False)
            return _as_written(number, files, active, record, system)
        finally:
            active.release()


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
            _close([waiting[number]], _never_starts(waiting[number], job), system)


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
        _settle_one(number, job_id, slurm, files, system)
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


def let_go(run: ActiveRun, record: RunRecord, system: System) -> bool:
    """See to a run whose submission was killed: Slurm has it, and it is left to the job.

    Otherwise nobody will ever read what was written down for the job, secrets and all.

    :returns: whether Slurm has it.
    """
    files = JobFiles(system.account.state)
    job_id = files.job_of(run.run_id)
    if job_id is None:
        files.destroy(run.run_id)
        return False
    record.slurm_job_id, record.host = job_id, ""
    run.hand_over(record)
    return True


# --- submitting ---


def _settled(spec: RunSpec, job: JobSpec, system: System) -> tuple[RunSpec, Plan]:
    """The run with everything in it that only this host knows: it starts in a bare environment."""
    if job.gpus is not None and not spec.gpu:
        spec = replace(spec, gpu=True)
    plan = plan_run(spec, system, elsewhere=True)
    chosen = spec.directories
    directories = replace(
        chosen,
        project=chosen.project or system.account.environ.get("CES_PROJECT"),
        safe_data=chosen.safe_data and plan.safe_data.source,
        outputs=plan.outputs,
        scratch=plan.scratch,
    )
    shared = plan.outputs or plan.scratch or spec.name
    if job.array is not None and shared:
        raise CesError(
            "run an array",
            said=f"its tasks would share {shared}",
            hint="leave out outputs, scratch and name: each task has its own",
        )
    return replace(spec, directories=directories), plan


def _login(spec: RunSpec, plan: Plan, system: System) -> Credentials:
    """The credentials as user and secret: a file may not be on the node, or hold others' too."""
    given = spec.credentials
    if isinstance(spec.image, ImageFile) or not (given.given or given.authfile):
        return Credentials()
    source = system.policy.registry_for(spec.image).source(spec.image)
    login = login_for(source, given, system.account)
    return Credentials(*login) if login else Credentials()


def _request(plan: Plan, job: JobSpec, number: int, system: System) -> Request:
    image, wanted = plan.spec.image, plan.wanted
    name = os.path.basename(image.path) if isinstance(image, ImageFile) else image.short_name
    if wanted.gpu and job.gpus is None:
        job = replace(job, gpus="1")
    return Request(
        spec=job,
        name="".join(char if char.isprintable() and char != " " else "_" for char in name),
        directory=system.account.home,
        # sbatch takes a percent sign for a pattern of its own
        log=_log(job, number, system).replace("%", "%%").replace(_TASK, "%a"),
        cpus=None if wanted.cpus is None else max(1, int(-(-wanted.cpus // 1))),
        memory=None if wanted.memory is None else max(1, -(-wanted.memory // _MIB)),
    )


_TASK = "{TASK}"


def _log(job: JobSpec, first: int, system: System) -> str:
    """The file that gets what the job itself says; with a place for the number of the task."""
    directory = JobFiles(system.account.state).directory(first)
    return f"{directory}/slurm.log" if job.array is None else f"{directory}/slurm-{_TASK}.log"


def _pending(plan: Plan, number: int, system: System) -> RunRecord:
    spec, home = plan.spec, system.account.home
    launch = plan.launch(number, home, "", str(spec.image))
    return RunRecord(
        run_id=number,
        state="PENDING",
        image=str(spec.image),
        digest=None if isinstance(spec.image, ImageFile) else spec.image.digest,
        runner=spec.runner,
        name=launch.name,
        mounts=[mount.as_dict() for mount in launch.mounts],
        resources={**plan.resources_record(), "enforced_by": "slurm"},
        network=plan.network,
        outputs=plan.outputs_for(number, home),
        scratch=plan.scratch_for(number, home),
        scheduler="slurm",
        host=system.host,
        user=system.account.name,
    )


def _open(
    spec: RunSpec, plan: Plan, job: JobSpec, system: System
) -> tuple[list[ActiveRun], list[RunRecord]]:
    """Numbers, records and the private files that the job or the array's tasks will read."""
    files, home = JobFiles(system.account.state), system.account.home
    tasks: list[int | None] = list(job.tasks()) or [None]
    runs: list[ActiveRun] = []
    records: list[RunRecord] = []
    try:
        for task in tasks:
            run = system.records.open(lambda number: is_free(plan, number, home))
            runs.append(run)
            record = _pending(plan, run.run_id, system)
            record.log = run.log
            run.save(record, durable=False)
            records.append(record)
            index = {} if task is None else dict.fromkeys(_INDEX, str(task))
            files.leave(run.run_id, written(spec, index))
        if job.array is not None:
            numbers = {task: r.run_id for task, r in zip(tasks, runs) if task is not None}
            files.number_tasks(runs[0].run_id, numbers)
    except BaseException as error:
        _give_up(runs, records, str(error), files)
        raise
    return runs, records


_INDEX = ("CES_ARRAY_INDEX", "SLURM_ARRAY_TASK_ID")
"""Variables by which a container knows which task of an array it is."""


def _submit(
    plan: Plan, job: JobSpec, runs: list[ActiveRun], records: list[RunRecord], system: System
) -> str:
    files = JobFiles(system.account.state)
    first = runs[0].run_id
    try:
        job_id = Slurm(system.process).submit(_request(plan, job, first, system), first)
    except BaseException as error:
        _give_up(runs, records, str(error), files)
        for record in records:
            audit_run(system.policy, record)
        raise
    tasks: list[int | None] = list(job.tasks()) or [None]
    for run, record, task in zip(runs, records, tasks):
        record.slurm_job_id = job_id if task is None else f"{job_id}_{task}"
        record.host = ""  # which will be known when it starts
        files.expect(run.run_id, record.slurm_job_id)
        run.hand_over(record)
    return job_id


def _give_up(
    runs: Sequence[ActiveRun], records: Sequence[RunRecord], reason: str, files: JobFiles
) -> None:
    for run, record in zip(runs, records):
        record.state, record.rc, record.reason = "FAILED", EXIT_OURS, reason
        record.ended = utc_now()
        run.save_last(record)
    for run in runs:
        files.settled(run.run_id)
        run.finish()


def _refuse_what_never_starts(job_id: str, records: Sequence[RunRecord], system: System) -> None:
    """Slurm takes on what no partition can run, and lets it wait for ever: say so now.

    :raises CesError: it has been cancelled again, and why.
    """
    slurm = Slurm(system.process)
    for pause in _CONSIDERING:
        try:
            job = next(iter(slurm.queue([job_id]).values()), None)
        except NoAnswer:
            return
        if job is None or job.state != "PENDING" or job.reason:
            break
        time.sleep(pause)
    if job is None or not job.hopeless:
        return
    slurm.cancel(job_id)
    error = _never_starts(records[0], job)
    _close(records, error, system)
    raise error


def _never_starts(record: RunRecord, job: Job) -> CesError:
    return CesError(
        f"run {record.image} as job {job.id}",
        said=f"{job.hopeless} (Slurm: {job.reason})",
        hint=f"ask for less, or of another partition: {PARTITIONS}",
    )


def _close(records: Sequence[RunRecord], error: CesError, system: System) -> None:
    """Say of runs that have not begun that they will not."""
    files = JobFiles(system.account.state)
    for record in records:
        run = system.records.claim(record.run_id)
        if run is not None:
            _give_up([run], [record], str(error), files)
            audit_run(system.policy, record)


# --- in the job ---


def _claimed(number: int, system: System) -> ActiveRun:
    end = time.monotonic() + _CLAIM
    while True:
        try:
            active = system.records.claim(number)
        except NotFound as error:
            raise NotFound(
                f"be the job of run {number}",
                said=error.said,
                hint="the home directory must be shared between submit hosts and nodes",
            ) from None
        if active is not None:
            return active
        if time.monotonic() > end:
            raise Busy(f"be the job of run {number}", said="another process answers for it")
        time.sleep(0.05)


def _as_written(
    number: int, files: JobFiles, active: ActiveRun, record: RunRecord, system: System
) -> Ran:
    try:
        spec = read(files.take(number), f"{files.directory(number)}/job.json")
        return run_claimed(spec, system, active, record)
    except CesError as error:
        if record.state in LIVE:
            _give_up([active], [record], str(error), files)
        raise
    finally:
        if system.records.load(number).state not in LIVE:
            files.settled(number)


# --- afterwards ---


def _is_open(record: RunRecord) -> bool:
    """Whether nobody has told how it ended: it runs, or was swept by somebody who did not know."""
    return record.state in LIVE or record.rc is None


def _settle_one(number: int, job_id: str, slurm: Slurm, files: JobFiles, system: System) -> None:
    """Slurm says that the job is over, or has forgotten it: so is the run."""
    run = system.records.claim(number)
    if run is None:  # the process on the node is just writing down how it ended
        return
    try:
        record = system.records.load(number)
        if _is_open(record):
            job = slurm.show(job_id) or slurm.accounted(job_id)[0]
            _judge(record, job, files.directory(number))
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
        "log": submitted.log.replace(_TASK, job_id.partition("_")[2]),
    }
    facts["job_id"] = facts.pop("id")
    if job is not None and record.state == "CANCELLED":
        record.state = _AS_RECORDED.get(job.state, job.state) if job.over else record.state
    return JobEnd(Ran(record, _tail(record.log), ""), facts)


def _tail(path: str) -> str:
    """The end of a log, which has both outputs."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
