# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that Slurm starts: submit them, and be one of them.

The home directory is shared between the host that submits and the nodes: record, log and the run
itself travel in it, and the job's script holds nothing but the run's number.
"""

from __future__ import annotations

import os
import time

from ..dataclass import dataclass, replace
from ..errors import EXIT_OURS, Busy, CesError, NotFound
from ..system.audit import audit_run
from ..system.authfile import login_for
from ..system.job_files import JobFiles
from ..system.records import ActiveRun
from ..system.slurm import HOPELESS, PARTITIONS, Request, Slurm
from ..system.system import System
from ..typed import Sequence
from ..values.image import ImageFile
from ..values.job import JobSpec, read, written
from ..values.record import LIVE, RunRecord, utc_now
from ..values.spec import Credentials, RunSpec
from .plan import Plan, plan_run
from .run import Ran, run_claimed

_CLAIM = 60.0
"""Seconds that whoever submitted a run may take to let go of it."""
_MIB = 1024**2


@dataclass(frozen=True)
class Submitted:
    """Runs that Slurm has taken on: one, or one for each task of an array.

    :param records: as they were when they were submitted.
    """

    job_id: str
    records: Sequence[RunRecord]
    log: str


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
            hint=f"ask for less, or for another partition: {PARTITIONS}",
        )
    return _pending(plan, number, system), tuple(argv), start


def submit_run(spec: RunSpec, job: JobSpec, system: System) -> Submitted:
    """Have Slurm run a container as soon as it can.

    It may take on what can never start: see job_follow.refuse_what_never_starts.

    :raises CesError: it was refused, by us or by Slurm; the record says so too.
    """
    spec, plan = _settled(spec, job, system)
    login = _login(spec, plan, system)
    runs, records = _open(replace(spec, credentials=login), plan, job, system)
    try:
        job_id = _submit(plan, job, runs, records, system)
    finally:
        for run in runs:
            run.release()
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
    shared = plan.outputs or plan.scratch or plan.spec.name
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
    if isinstance(spec.image, ImageFile) or plan.registry is None:
        return Credentials()
    if not (given.given or given.authfile):
        return Credentials()
    source = plan.registry.source(spec.image)
    return login_for(source, given, system.account, system.process)


def _request(plan: Plan, job: JobSpec, number: int, system: System) -> Request:
    image, wanted = plan.spec.image, plan.wanted
    name = os.path.basename(image.path) if isinstance(image, ImageFile) else image.short_name
    if wanted.gpu and job.gpus is None:
        job = replace(job, gpus=str(plan.spec.gpus or 1))
    return Request(
        spec=job,
        name="".join(char if char.isprintable() and char != " " else "_" for char in name),
        directory=system.account.home,
        # sbatch takes a percent sign for a pattern of its own
        log=_log(job, number, system).replace("%", "%%").replace(TASK, "%a"),
        cpus=None if wanted.cpus is None else max(1, int(-(-wanted.cpus // 1))),
        memory=None if wanted.memory is None else max(1, -(-wanted.memory // _MIB)),
        unasked=[what for what in ("cpus", "memory") if getattr(plan.spec, what) is None],
    )


TASK = "{TASK}"
"""Stands in the path of an array's log for the number of the task."""


def _log(job: JobSpec, first: int, system: System) -> str:
    """The file that gets what the job itself says; with a place for the number of the task."""
    directory = JobFiles(system.account.state).directory(first)
    return f"{directory}/slurm.log" if job.array is None else f"{directory}/slurm-{TASK}.log"


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
            run = system.records.open(lambda number: plan.is_free(number, home))
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


def close_queued(records: Sequence[RunRecord], error: CesError, system: System) -> None:
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
