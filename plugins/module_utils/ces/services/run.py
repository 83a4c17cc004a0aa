# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one container, from its plan to its record."""

from __future__ import annotations

import os

from ..blocks import contextmanager
from ..dataclass import dataclass
from ..engines.command import Launch
from ..engines.images.store import LocalImage
from ..system.audit import audit_run
from ..system.files import (
    explained,
    link_to,
    private_directory,
    remove_tree,
    write_new,
)
from ..system.records import ActiveRun
from ..system.system import System
from ..system.uses import Uses
from ..typed import Iterator
from ..values.command import Command
from ..values.image import Image, ImageFile
from ..values.record import RunRecord, utc_now
from ..values.spec import RunSpec
from .clean import clear_away
from .engine import run_engine
from .images import store_of
from .plan import Plan, plan_run, with_image
from .ready import Ready, make_ready, stored_image
from .verdict import break_off


@dataclass(frozen=True)
class Ran:
    """A run that is over.

    :param stdout: the last 64 KiB of the container's output, likewise ``stderr``; the log has it
        all.
    """

    record: RunRecord
    stdout: str
    stderr: str


def run_container(spec: RunSpec, system: System) -> Ran:
    """Run a container to its end; the record says how it went, also when the container failed.

    :raises CesError: it was refused, or could not be started.
    """
    return run_ready(make_ready(spec, system), system)


def planned(spec: RunSpec, system: System) -> RunRecord:
    """What :func:`run_container` would do, with the number it would probably get; changes nothing.

    :raises CesError: it would be refused.
    """
    plan = plan_run(spec, system)
    store = store_of(plan.spec.runner, system)
    image = stored_image(plan, store)
    if image is not None:
        plan = with_image(plan, store.config(image))
    launch = _launch(plan, image, system.records.expected_number(), system)
    return _record(plan, launch, plan.runner.run(launch), image, system)


def run_claimed(spec: RunSpec, system: System, active: ActiveRun, record: RunRecord) -> Ran:
    """As :func:`run_container`, for a run that has its number and its record already.

    However it ends, also before there is a container, the record says so.

    :raises CesError: it was refused, or could not be started.
    """
    try:
        ready = make_ready(spec, system, record)
    except BaseException as error:
        break_off(record, error, system)
        active.save_last(record)
        active.finish()
        audit_run(system.policy, record)
        raise
    return run_ready(ready, system, active, record)


def run_ready(
    ready: Ready,
    system: System,
    claimed: ActiveRun | None = None,
    before: RunRecord | None = None,
) -> Ran:
    """As :func:`run_container`, for a run of which nothing is left to be refused.

    :param claimed: the run, if it has its number already; ``before``: its record.
    """
    plan, home = ready.plan, system.account.home
    active = claimed or system.records.open(lambda number: plan.is_free(number, home))
    try:
        launch = _launch(plan, ready.image, active.run_id, system)
        command = plan.runner.run(launch)
        record = _record(plan, launch, command, ready.image, system)
        if before is not None:
            record.scheduler = before.scheduler
        record.log, record.pid = active.log, os.getpid()
        record.scratch_created = plan.scratch is None
        record.state, record.started = "RUNNING", utc_now()
        # from here on a sweep finds all that there is to clear away
        active.save(record, durable=False)
        with _clearing_away(plan, launch, record, active, system):
            if plan.spec.record_link is not None:
                link_to(active.directory, plan.spec.record_link)
            system.account.make_runtime()
            _make_directories(plan, launch)
            Uses(system.account.state).note(plan.spec.runner, ready.image.id)
            with ready.store.lend(ready.image, launch):
                finished = run_engine(ready, launch, command, record, system)
    finally:
        active.release()  # unless it is finished, the next sweep finds it
    return Ran(record, finished.stdout, finished.stderr)


@contextmanager
def _clearing_away(
    plan: Plan, launch: Launch, record: RunRecord, active: ActiveRun, system: System
) -> Iterator[None]:
    """However the block ends, nothing of the run is left and the record says how it ended."""
    try:
        yield
    except BaseException as error:
        break_off(record, error, system)
        raise
    finally:
        record.ended = record.ended or utc_now()
        clear_away(record, launch.private, plan.runner, system)
        active.save_last(record)
        active.finish()
        audit_run(system.policy, record)


def _make_directories(plan: Plan, launch: Launch) -> None:
    """The run's own directory with its environment; outputs and scratch.

    New ones are the user's alone, those that the caller chose stay as they are.
    """
    if os.path.lexists(launch.private):  # of a run whose number was given out again: state was lost
        remove_tree(launch.private)
    private_directory(launch.private)
    if plan.runner.environment is not None:
        with explained("write the container's environment"):
            write_new(launch.env_file, plan.runner.environment(launch.env))
    if plan.override:
        with explained("write what holds against containers.conf"):
            write_new(launch.override_file, plan.override)
    for mount in launch.mounts[1:3]:
        with explained(f"make {mount.source} for {mount.target}"):
            if mount.source in (plan.outputs, plan.scratch):
                os.makedirs(mount.source, mode=0o700, exist_ok=True)
            else:
                os.mkdir(mount.source, 0o700)


def _launch(plan: Plan, image: LocalImage | None, number: int, system: System) -> Launch:
    """What the engine is told for a run of this number."""
    account = system.account
    name = (image and image.file) or str(plan.spec.image)
    return plan.launch(number, account.home, account.private_for(number), name)


def _digest(named: Image, image: LocalImage | None) -> str | None:
    """The digest by which the image's registry knows it, as far as that is known."""
    if isinstance(named, ImageFile):
        return image.digest or None if image else None
    return (image.digest_of(named) or image.digest) if image else named.digest


def _record(
    plan: Plan, launch: Launch, command: Command, image: LocalImage | None, system: System
) -> RunRecord:
    spec, home, job = plan.spec, system.account.home, system.allocation
    return RunRecord(
        run_id=launch.run_id,
        image=str(spec.image),
        digest=_digest(spec.image, image),
        image_id=(image.id or None) if image else None,
        runner=spec.runner,
        name=launch.name,
        command=command.argv,
        mounts=[mount.as_dict() for mount in launch.mounts],
        resources=plan.resources_record(),
        network=plan.network,
        outputs=plan.outputs_for(launch.run_id, home),
        scratch=plan.scratch_for(launch.run_id, home),
        slurm_job_id=job.job_id if job else None,
        slurm_raw_id=job.raw_id if job and job.raw_id != job.job_id else None,
        deadline=job.end if job else None,
        host=system.host,
        user=system.account.name,
        warnings=plan.warnings,
    )
