# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are or were: list, look at, stop."""

from __future__ import annotations

import os
import time

from ..blocks import suppress
from ..engines.command import STOP_GRACE
from ..errors import Busy, CesError
from ..system.proc import variables_of
from ..system.signals import signal
from ..system.system import System
from ..typed import Iterator
from ..values.record import LIVE, RunRecord
from .clean import sweep

_PATIENCE = STOP_GRACE + 20.0
"""Seconds until a run that was told to stop must be over: the grace, and the clearing away."""
_TASK = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID")
"""Variables by which processes of a Slurm task are told from those of another; a batch script has
no SLURM_STEP_ID."""


def list_runs(
    system: System, limit: int | None = None, state: str | None = None, runner: str | None = None
) -> list[RunRecord]:
    """Records, the newest first, at most ``limit``, of one state or engine if given."""
    reasons = ask_slurm(system)
    found: list[RunRecord] = []
    for record in system.records.newest():
        if limit is not None and len(found) >= limit:
            break
        if state in (None, record.state) and runner in (None, record.runner):
            found.append(_with_reason(record, reasons))
    return found


def look_up(run_id: int, system: System) -> RunRecord:
    """One record.

    :raises CesError: there is no such run.
    """
    reasons = ask_slurm(system)
    return _with_reason(system.records.load(run_id), reasons)


def ask_slurm(system: System) -> dict[int, str]:
    """Why jobs are still queued; of those that ended unseen the records say so from now on."""
    try:
        if not os.listdir(f"{system.account.state}/jobs"):
            return {}
    except OSError:
        return {}
    from .job_follow import settle

    try:
        return {number: job.reason for number, job in settle(system).items()}
    except CesError as error:
        system.tell(f"warning: {error}. What the records of jobs say may be old")
        return {}


def _with_reason(record: RunRecord, reasons: dict[int, str]) -> RunRecord:
    if record.state == "PENDING":
        record.reason = reasons.get(record.run_id, "") or record.reason
    return record


def stop_run(run_id: int, system: System) -> RunRecord:
    """Stop a run gently (SIGTERM, after ten seconds SIGKILL) and wait until it is cleared away.

    :raises CesError: there is no such run, it has ended, or it is on another host.
    """
    record = system.records.load(run_id)
    if record.state not in LIVE:
        raise CesError(f"stop run {run_id}", said=f"it has ended: {record.state}")
    if record.scheduler != "none":
        from .job_follow import stop_job

        return stop_job(record, system)
    if record.host != system.host:
        job = record.slurm_job_id
        raise CesError(
            f"stop run {run_id}",
            said=f"it runs on {record.host}",
            hint=f"run ces-stop {run_id} there" + (f", or scancel {job}" if job else ""),
        )
    if system.records.is_alive(run_id):
        _tell_to_stop(record)
        _await_end(run_id, system)
    sweep(system)
    return system.records.load(run_id)


def stop_left_by_task(system: System) -> list[RunRecord]:
    """Stop the runs that a Slurm task left running when it ended; called by the task's epilog.

    Where Slurm follows jobs by cgroup it tells only the task itself that the job is to end. The
    task is the shell of a batch script, which ends at once and tells nobody. After the task's
    epilog Slurm kills all that is left.
    """
    left = list(_left_by_task(system))
    for record in left:
        _tell_to_stop(record)
    for record in left:
        _await_end(record.run_id, system)
    return [system.records.load(record.run_id) for record in left]


def _left_by_task(system: System) -> Iterator[RunRecord]:
    task = {name: system.account.environ.get(name) for name in _TASK}
    for number in system.records.active():
        try:
            record = system.records.load(number)
        except CesError:  # it is just being set up, or a person must look at it
            continue
        here = record.host == system.host and system.records.is_alive(number)
        if not here or record.pid is None:
            continue
        variables = variables_of(record.pid)
        if {name: variables.get(name) for name in _TASK} == task:
            yield record


def _tell_to_stop(record: RunRecord) -> None:
    if record.pid is not None:
        with suppress(ProcessLookupError):  # it may have ended meanwhile
            os.kill(record.pid, signal.SIGTERM)


def _await_end(run_id: int, system: System) -> None:
    end = time.monotonic() + _PATIENCE
    while system.records.is_alive(run_id):
        if time.monotonic() > end:
            raise Busy(
                f"stop run {run_id}",
                said=f"it is still there {_PATIENCE:g} s after SIGTERM",
                hint="try again, or tell the administrator",
            )
        time.sleep(0.1)
