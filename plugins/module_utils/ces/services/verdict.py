# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run ended: state, reason and exit status."""

from __future__ import annotations

import os
import time

from ..errors import EXIT_OURS, Interrupted
from ..system.process import Finished
from ..system.signals import exit_status
from ..system.system import System
from ..typed import TYPE_CHECKING
from ..values.quantities import spell_bytes
from ..values.record import RunRecord, utc_now

if TYPE_CHECKING:
    from ..engines.command import Launch
    from ..engines.runner import Runner
    from .plan import Plan

TIME_OVER = "the time that Slurm gave the job was over"
TIMEOUT_STATUS = 124
"""Exit status of a run that was ended by its timeout, as timeout(1) has it."""
_KILLED = 128 + 9
_AT_ITS_END = 5.0
"""Seconds before the end of its time at which Slurm may tell a job to stop (OverTimeLimit is later,
and clocks differ)."""


def complaint_of(finished: Finished, runner: Runner, launch: Launch) -> tuple[int, str] | None:
    """Exit status and words of the engine; None if it was the container that failed."""
    early = not os.path.exists(launch.monitor_file)
    if runner.early and early and 0 < finished.rc <= EXIT_OURS:
        return EXIT_OURS, runner.early(finished.stderr) or f"it exited with {finished.rc}"
    return runner.complaint(finished.rc, finished.stdout, finished.stderr)


def conclude(
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


def break_off(record: RunRecord, error: BaseException, system: System) -> None:
    """Say in the record that this ended the run."""
    record.state = "FAILED"
    if isinstance(error, Interrupted):
        record.state = state_when_stopped(system)
    record.rc, record.reason = EXIT_OURS, str(error) or type(error).__name__
    record.ended = utc_now()


def state_when_stopped(system: System) -> str:
    """Slurm says by one and the same signal that a job is cancelled and that its time is over."""
    job = system.allocation
    if job is None:
        return "CANCELLED"
    if job.end is None:  # Slurm before 23.02 does not say
        from ..system.slurm import Slurm

        left = Slurm(system.process).time_left(job.raw_id)
        return "TIMEOUT" if left is not None and left <= 1 else "CANCELLED"
    return "TIMEOUT" if is_over(job.end) else "CANCELLED"


def is_over(end: float) -> bool:
    """Whether a job whose time ends then has used it up, so that this is why it was stopped."""
    return time.time() >= end - _AT_ITS_END
