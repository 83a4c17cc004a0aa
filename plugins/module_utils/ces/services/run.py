# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one container, from its plan to its record."""

from __future__ import annotations

import os
import time

from ..blocks import contextmanager
from ..dataclass import dataclass, replace
from ..errors import EXIT_OURS, Interrupted, NotFound
from ..runners.command import Command, Launch
from ..runners.table import Runner
from ..system.audit import audit_run
from ..system.cgroup import oom_kills
from ..system.files import (
    explained,
    link_to,
    private_directory,
    read_if_there,
    remove_quietly,
    remove_tree,
    write_new,
)
from ..system.process import Finished, Streams
from ..system.records import ActiveRun
from ..system.signals import StopSignals, exit_status, stop_signal
from ..system.system import System, is_in_job
from ..typed import Callable, Iterator
from ..values.image import Image, ImageFile
from ..values.quantities import spell_bytes
from ..values.record import RunRecord, utc_now
from ..values.spec import PullSpec, RunSpec
from .clean import TIME_OVER, clear_away, private_path, state_when_stopped, sweep_others
from .images import store_of
from .plan import Plan, plan_run, with_image
from .store import LocalImage

TIMEOUT_STATUS = 124
"""Exit status of a run that was ended by its timeout, as timeout(1) has it."""
_KILLED = 128 + 9
_BESIDE = 0.2
"""Seconds within which a signal to a whole job has reached all of it."""
_NOT_KNOWN = "image not known"


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
    with StopSignals() as signals:
        system.process.signals = signals
        plan, image = _ready(spec, system)
        return _run(plan, image, system)


def planned(spec: RunSpec, system: System) -> RunRecord:
    """What :func:`run_container` would do, with the number it would probably get; changes nothing.

    :raises CesError: it would be refused.
    """
    plan = plan_run(spec, system)
    number = system.records.expected_number()
    # not private_path(), which would make the directory above it
    private = f"{system.account.runtime_base}/ces/run-{number}"
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
    sweep_others(system)
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
        _close(record, error, system)
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
        private = private_path(active.run_id, system)
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
            _make_directories(plan, launch)
            with store_of(plan.spec.runner, system).lend(image, launch):
                finished = _follow(plan, launch, record, active, system)
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
        _close(record, error, system)
        raise
    finally:
        record.ended = record.ended or utc_now()
        clear_away(record, launch.private, plan.runner, system)
        active.save_last(record)
        active.finish()
        audit_run(system.policy, record)


def _close(record: RunRecord, error: BaseException, system: System) -> None:
    """Say in the record that this ended the run."""
    record.state = "FAILED"
    if isinstance(error, Interrupted):
        record.state = state_when_stopped(system)
    record.rc, record.reason = EXIT_OURS, str(error) or type(error).__name__
    record.ended = utc_now()


def _follow(
    plan: Plan, launch: Launch, record: RunRecord, active: ActiveRun, system: System
) -> Finished:
    """Run the engine to its end, and write down how it went."""
    streams = Streams(
        log=active.log,
        stop_signal=stop_signal(plan.config.stop_signal if plan.config else ""),
        echo=system.echo,
        timeout=plan.timeout,
        interruptible=True,
        stop=plan.runner.stop and plan.runner.stop(launch.cid_file),
        kill=_kill(plan, launch),
        pid_file=launch.pid_file,
    )
    system.tell(f"run {record.run_id}: outputs in {record.outputs}, log in {record.log}")
    kills_before = _oom_kills(system)
    begun = time.monotonic()
    finished = system.process.run(plan.runner.run(launch), streams)
    if plan.runner.aside:
        finished = replace(finished, stderr=finished.stderr + read_if_there(launch.aside_file))
    if plan.in_job:
        finished = _stopped_beside_us(finished, streams, system)
    record.ended, record.duration = utc_now(), round(time.monotonic() - begun, 3)
    complaint = _complaint(finished, plan.runner, launch)
    _judge(record, finished, complaint, plan, system, _oom_kills(system) > kills_before)
    if finished.rc < EXIT_OURS and not finished.stopped_by:
        # the engine ended by itself and left nothing; to ask podman for it again would cost 40 ms
        remove_quietly(launch.cid_file)
    for path in (launch.pid_file, launch.env_file):
        remove_quietly(path)
    if finished.rc == EXIT_OURS and _NOT_KNOWN in finished.stderr:
        store_of(plan.spec.runner, system).forget()
    return finished


def _kill(plan: Plan, launch: Launch) -> Callable[[int], Command] | None:
    kill = plan.runner.kill
    return None if kill is None else lambda number: kill(launch.cid_file, number)


def _stopped_beside_us(finished: Finished, streams: Streams, system: System) -> Finished:
    """What Slurm tells us to stop it tells the engine too, which may end before we have heard.

    Then its container is still to be stopped, gently.
    """
    if finished.stopped_by:
        return finished
    if not finished.ok:
        time.sleep(_BESIDE)
    told = system.process.told_to_stop()
    if not told:
        return finished
    if streams.stop is not None:
        system.process.run(streams.stop)
    return replace(finished, stopped_by=told)


def _oom_kills(system: System) -> int:
    job = system.allocation
    return job.oom_kills() if job and is_in_job(job) else oom_kills(system.account.uid)


def _complaint(finished: Finished, runner: Runner, launch: Launch) -> tuple[int, str] | None:
    """Exit status and words of the engine; None if it was the container that failed."""
    early = not os.path.exists(launch.monitor_file)
    if runner.early and early and 0 < finished.rc <= EXIT_OURS:
        return EXIT_OURS, runner.early(finished.stderr) or f"it exited with {finished.rc}"
    return runner.complaint(finished.rc, finished.stdout, finished.stderr)


def _judge(
    record: RunRecord,
    finished: Finished,
    complaint: tuple[int, str] | None,
    plan: Plan,
    system: System,
    oom: bool,
) -> None:
    """State, reason and exit status, from how the engine ended.

    :param complaint: exit status and words of the engine, if it was the engine that failed.
    :param oom: the kernel killed one of the user's processes for lack of memory meanwhile.
    """
    if finished.log_error:
        record.warnings = (*record.warnings, finished.log_error)
    record.state, record.rc, record.reason = _verdict(finished, complaint, plan, oom)
    if record.state == "CANCELLED" and state_when_stopped(system) == "TIMEOUT":
        record.state, record.rc = "TIMEOUT", TIMEOUT_STATUS
        record.reason = TIME_OVER


def _verdict(
    finished: Finished, complaint: tuple[int, str] | None, plan: Plan, oom: bool
) -> tuple[str, int, str]:
    if finished.stopped_by == "timeout":
        reason = f"it ran longer than the timeout of {plan.timeout:g} s"
        return "TIMEOUT", TIMEOUT_STATUS, reason
    if finished.stopped_by:
        status = exit_status(finished.stopped_by)
        return "CANCELLED", status, f"stopped by {finished.stopped_by}"
    if complaint is not None:
        status, said = complaint
        hint = plan.runner.hint(said)
        reason = f"{plan.runner.engine}: {said.rstrip('.')}" + (f". {hint}" if hint else "")
        return "FAILED", status, reason
    if finished.ok:
        return "COMPLETED", 0, ""
    if finished.rc == _KILLED and oom:
        limit = plan.enforced.memory
        reason = f" (its limit was {spell_bytes(limit)})" if limit else ""
        return "OUT_OF_MEMORY", _KILLED, f"the kernel killed it for lack of memory{reason}"
    killed = " (SIGKILL)" if finished.rc == _KILLED else ""
    return "FAILED", finished.rc, f"the container exited with {finished.rc}{killed}"


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
