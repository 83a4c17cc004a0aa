# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one container, from its plan to its record."""

from __future__ import annotations

import os

from ..blocks import contextmanager
from ..dataclass import dataclass
from ..errors import NotFound
from ..runners.command import Launch
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
from ..typed import Iterator
from ..values.image import Image, ImageFile
from ..values.record import RunRecord, utc_now
from ..values.spec import PullSpec, RunSpec
from .clean import clear_away
from .engine import run_engine
from .images import store_of
from .plan import Plan, plan_run, with_image
from .store import LocalImage
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
    plan, image = _ready(spec, system)
    return _run(plan, image, system)


def planned(spec: RunSpec, system: System) -> RunRecord:
    """What :func:`run_container` would do, with the number it would probably get; changes nothing.

    :raises CesError: it would be refused.
    """
    plan = plan_run(spec, system)
    number = system.records.expected_number()
    private = system.account.private_for(number)
    here = _in_storage(spec, system)
    if here is not None:
        plan = with_image(plan, store_of(spec.runner, system).config(here))
    image = (here and here.file) or str(spec.image)
    return _record(plan, plan.launch(number, system.account.home, private, image), here, system)


def _ready(
    spec: RunSpec, system: System, record: RunRecord | None = None
) -> tuple[Plan, LocalImage]:
    """A run of which nothing is left to be refused, and its image.

    :param record: the run's, if it has one already: it gets the warnings.
    :raises CesError: it was refused, or its image cannot be had.
    """
    plan = plan_run(spec, system)
    if record is not None:
        record.warnings = plan.warnings
    _warn(plan.warnings, system)
    image = ensure_image(spec, system)
    ready = with_image(plan, store_of(spec.runner, system).config(image))
    _warn(ready.warnings[len(plan.warnings) :], system)
    return ready, image


def _warn(warnings: tuple[str, ...], system: System) -> None:
    for warning in warnings:
        system.tell(f"warning: {warning}")


def _in_storage(spec: RunSpec, system: System) -> LocalImage | None:
    """The image, without fetching it.

    :raises NotFound: it is not there and must not be pulled.
    """
    store = store_of(spec.runner, system)
    if isinstance(spec.image, ImageFile):
        return store.open_file(spec.image)
    here = store.find(spec.image)
    if here is None and spec.pull == "never":
        raise NotFound(
            f"run {spec.image}",
            said="the image is not in your storage",
            hint=f"pull it first: ces-pull {spec.runner} {spec.image}",
        )
    return here


def ensure_image(spec: RunSpec, system: System) -> LocalImage:
    """The image in storage, pulled first if the caller wants that.

    :raises NotFound: it is not there and must not be pulled.
    """
    here = _in_storage(spec, system)
    if here is not None and (isinstance(spec.image, ImageFile) or spec.pull != "always"):
        return here
    if isinstance(spec.image, ImageFile):
        raise NotFound(f"run {spec.image}", said="there is no such image file")
    # only a run that pulls pays for loading TLS and HTTP (20 ms)
    from .pull import pull_image

    pulled = pull_image(PullSpec(spec.image, spec.runner, spec.credentials), system)
    if pulled.image is None:
        raise NotFound(f"run {spec.image}", said="the image is not in your storage")
    return pulled.image


def run_claimed(spec: RunSpec, system: System, active: ActiveRun, record: RunRecord) -> Ran:
    """As :func:`run_container`, for a run that has its number and its record already.

    However it ends, also before there is a container, the record says so.

    :raises CesError: it was refused, or could not be started.
    """
    try:
        plan, image = _ready(spec, system, record)
    except BaseException as error:
        break_off(record, error, system)
        active.save_last(record)
        active.finish()
        audit_run(system.policy, record)
        raise
    return _run(plan, image, system, active, record)


def is_free(plan: Plan, number: int, home: str) -> bool:
    """Whether no directory of an older, forgotten run has this number."""
    mine = [] if plan.outputs else [plan.outputs_for(number, home)]
    mine += [] if plan.scratch else [plan.scratch_for(number, home)]
    return not any(os.path.lexists(path) for path in mine)


def _run(
    plan: Plan,
    image: LocalImage,
    system: System,
    claimed: ActiveRun | None = None,
    before: RunRecord | None = None,
) -> Ran:
    """
    :param claimed: the run, if it has its number already; ``before``: its record.
    """
    home = system.account.home
    active = claimed or system.records.open(lambda number: is_free(plan, number, home))
    try:
        private = system.account.private_for(active.run_id)
        launch = plan.launch(active.run_id, home, private, image.file or str(plan.spec.image))
        record = _record(plan, launch, image, system)
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
            with store_of(plan.spec.runner, system).lend(image, launch):
                finished = run_engine(plan, launch, record, system)
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


def _digest(named: Image, image: LocalImage | None) -> str | None:
    """The digest by which the image's registry knows it, as far as that is known."""
    if isinstance(named, ImageFile):
        return image.digest or None if image else None
    return (image.digest_of(named) or image.digest) if image else named.digest


def _record(plan: Plan, launch: Launch, image: LocalImage | None, system: System) -> RunRecord:
    spec, home, job = plan.spec, system.account.home, system.allocation
    return RunRecord(
        run_id=launch.run_id,
        image=str(spec.image),
        digest=_digest(spec.image, image),
        image_id=(image.id or None) if image else None,
        runner=spec.runner,
        name=launch.name,
        command=plan.runner.run(launch).argv,
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
