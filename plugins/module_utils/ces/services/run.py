# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one container, from its plan to its record."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import EXIT_OURS, Interrupted, NotFound
from ..runners.command import Launch
from ..system.audit import audit
from ..system.cgroup import oom_kills
from ..system.files import explained, private_directory, remove_quietly, remove_tree, write_new
from ..system.process import Finished, Streams, last_lines
from ..system.records import ActiveRun
from ..system.signals import StopSignals, exit_status
from ..system.system import System
from ..values.quantities import spell_bytes
from ..values.record import RunRecord, utc_now
from ..values.spec import PullSpec, RunSpec
from .clean import clear_away, sweep
from .images import store_of
from .plan import Plan, plan_run
from .store import LocalImage

TIMEOUT_STATUS = 124
"""Exit status of a run that was ended by its timeout, as timeout(1) has it."""
_KILLED = 128 + 9
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
        plan = plan_run(spec, system)
        for warning in plan.warnings:
            system.tell(f"warning: {warning}")
        sweep(system)
        image = ensure_image(spec, system)
        ran = _run(plan, image, system)
    record = ran.record
    audit(
        system.policy,
        "run",
        user=record.user,
        run=record.run_id,
        image=record.image,
        digest=record.digest,
        state=record.state,
        rc=record.rc,
    )
    return ran


def planned(spec: RunSpec, system: System) -> RunRecord:
    """What :func:`run_container` would do, with the number it would probably get; changes nothing.

    :raises CesError: it would be refused.
    """
    plan = plan_run(spec, system)
    number = system.records.expected_number()
    launch = plan.launch(
        number, system.account.home, f"{system.account.runtime_base}/ces/run-{number}"
    )
    return _record(plan, launch, None, system)


def ensure_image(spec: RunSpec, system: System) -> LocalImage:
    """The image in storage, pulled first if the caller wants that.

    :raises NotFound: it is not there and must not be pulled.
    """
    here = None if spec.pull == "always" else store_of(spec.runner, system).find(spec.image)
    if here is not None:
        return here
    if spec.pull == "never":
        raise NotFound(
            f"run {spec.image}",
            said="the image is not in your storage",
            hint=f"pull it first: ces-pull {spec.image}",
        )
    # only a run that pulls pays for loading TLS and HTTP (20 ms)
    from .pull import pull_image

    pulled = pull_image(PullSpec(spec.image, spec.runner, spec.credentials), system)
    if pulled.image is None:
        raise NotFound(f"run {spec.image}", said="the image is not in your storage")
    return pulled.image


def _run(plan: Plan, image: LocalImage, system: System) -> Ran:
    active = system.records.open(lambda number: _is_free(plan, number, system.account.home))
    try:
        with _workspace(plan, active, system) as launch:
            record = _record(plan, launch, image, system)
            record.log, record.pid = active.log, os.getpid()
            record.scratch_created = plan.scratch is None
            record.state, record.started = "RUNNING", utc_now()
            # from here on a sweep finds all that there is to clear away
            active.save(record, durable=False)
            with _clearing_away(plan, launch, record, active, system):
                _make_directories(plan, launch)
                finished = _follow(plan, launch, record, active, system)
    finally:
        active.finish()
    return Ran(record, finished.stdout, finished.stderr)


@contextmanager
def _clearing_away(
    plan: Plan, launch: Launch, record: RunRecord, active: ActiveRun, system: System
) -> Iterator[None]:
    """However the block ends, nothing of the run is left and the record says how it ended."""
    try:
        yield
    except BaseException as error:
        record.state = "CANCELLED" if isinstance(error, Interrupted) else "FAILED"
        record.rc, record.reason = EXIT_OURS, str(error) or type(error).__name__
        raise
    finally:
        record.ended = record.ended or utc_now()
        clear_away(record, launch.cid_file, plan.runner, system)
        active.save_last(record)


def _follow(
    plan: Plan, launch: Launch, record: RunRecord, active: ActiveRun, system: System
) -> Finished:
    """Run the engine to its end, and write down how it went."""
    streams = Streams(
        log=active.log,
        echo=system.echo,
        timeout=plan.timeout,
        interruptible=True,
        stop=plan.runner.stop(launch.cid_file),
    )
    system.tell(f"run {record.run_id}: outputs in {record.outputs}, log in {record.log}")
    kills_before = oom_kills(system.account.uid)
    begun = time.monotonic()
    finished = system.process.run(plan.runner.run(launch), streams)
    record.ended, record.duration = utc_now(), round(time.monotonic() - begun, 3)
    _judge(record, finished, plan, oom_kills(system.account.uid) > kills_before)
    if finished.rc < EXIT_OURS and not finished.stopped_by:
        # podman ended by itself, so --rm has done its work: asking again would cost 40 ms
        remove_quietly(launch.cid_file)
    if finished.rc == EXIT_OURS and _NOT_KNOWN in finished.stderr:
        store_of(plan.spec.runner, system).forget()
    return finished


def _judge(record: RunRecord, finished: Finished, plan: Plan, oom: bool) -> None:
    """State, reason and exit status, from how the engine ended.

    :param oom: the kernel killed one of the user's processes for lack of memory meanwhile.
    """
    if finished.log_error:
        record.warnings = (*record.warnings, finished.log_error)
    record.rc = finished.rc
    if finished.stopped_by == "timeout":
        record.state, record.rc = "TIMEOUT", TIMEOUT_STATUS
        record.reason = f"it ran longer than the timeout of {plan.timeout:g} s"
    elif finished.stopped_by:
        record.state, record.rc = "CANCELLED", exit_status(finished.stopped_by)
        record.reason = f"stopped by {finished.stopped_by}"
    elif finished.ok:
        record.state = "COMPLETED"
    elif oom and finished.rc == _KILLED:
        record.state = "OUT_OF_MEMORY"
        limit = plan.enforced.memory
        record.reason = "the kernel killed it for lack of memory" + (
            f" (its limit was {spell_bytes(limit)})" if limit else ""
        )
    else:
        record.state = "FAILED"
        record.reason = _why_failed(finished, plan)


def _why_failed(finished: Finished, plan: Plan) -> str:
    engine_says = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    if finished.rc in (125, 126, 127) and engine_says:
        # the container's own 125 to 127 come with no message of the engine
        said = last_lines(engine_says[-1].removeprefix("Error: "))
        hint = plan.runner.hint(said)
        return f"{plan.runner.engine}: {said.rstrip('.')}" + (f". {hint}" if hint else "")
    return f"the container exited with {finished.rc}" + (
        " (SIGKILL)" if finished.rc == _KILLED else ""
    )


def _is_free(plan: Plan, number: int, home: str) -> bool:
    """Whether no directory of an older, forgotten run has this number."""
    mine = [] if plan.outputs else [plan.outputs_for(number, home)]
    mine += [] if plan.scratch else [plan.scratch_for(number, home)]
    return not any(os.path.lexists(path) for path in mine)


@contextmanager
def _workspace(plan: Plan, active: ActiveRun, system: System) -> Iterator[Launch]:
    """The run's own directory in memory, with its environment; gone when the block ends."""
    private = f"{system.account.runtime}/run-{active.run_id}"
    if os.path.lexists(private):  # of a run on another host with the same number, long gone
        remove_tree(private)
    private_directory(private)
    try:
        launch = plan.launch(active.run_id, system.account.home, private)
        with explained("write the container's environment"):
            write_new(
                launch.env_file, "".join(f"{name}={value}\n" for name, value in plan.env.items())
            )
        yield launch
    finally:
        remove_tree(private)


def _make_directories(plan: Plan, launch: Launch) -> None:
    """Outputs and scratch: new ones are the user's alone, the caller's stay as they are."""
    for mount in launch.mounts[1:3]:
        with explained(f"make {mount.source} for {mount.target}"):
            if mount.source in (plan.outputs, plan.scratch):
                os.makedirs(mount.source, mode=0o700, exist_ok=True)
            else:
                os.mkdir(mount.source, 0o700)


def _record(plan: Plan, launch: Launch, image: LocalImage | None, system: System) -> RunRecord:
    spec, home = plan.spec, system.account.home
    return RunRecord(
        run_id=launch.run_id,
        image=str(spec.image),
        digest=(image.digest_of(spec.image) or image.digest) if image else spec.image.digest,
        image_id=image.id if image else None,
        runner=spec.runner,
        name=launch.name,
        command=plan.runner.run(launch).argv,
        mounts=[mount.as_dict() for mount in launch.mounts],
        resources=plan.resources_record(),
        network=plan.network,
        outputs=plan.outputs_for(launch.run_id, home),
        scratch=plan.scratch_for(launch.run_id, home),
        slurm_job_id=system.account.environ.get("SLURM_JOB_ID"),
        host=system.host,
        user=system.account.name,
        warnings=plan.warnings,
    )
