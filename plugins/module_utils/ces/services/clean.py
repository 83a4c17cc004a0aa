# SPDX-License-Identifier: GPL-3.0-or-later
"""Clear away after runs: after our own at once, after dead ones whenever somebody looks."""

from __future__ import annotations

import os
import time

from ..engines.command import cid_file, pid_file
from ..engines.images.transfer import sweep_transfers
from ..engines.runner import Runner
from ..engines.table import NAMES, runner_named
from ..errors import CesError
from ..system.audit import audit_run
from ..system.files import regular, remove_abandoned, remove_tree
from ..system.proc import kill_named, kill_recorded, recorded_lives
from ..system.system import System
from ..values.record import LIVE, RunRecord, utc_now
from .verdict import TIME_OVER, is_over

_DIED = "the process that ran it was killed, or the host went down"
_PATIENCE = 5.0
"""Seconds for which a dead run's engine may go on making the container."""


def clear_away(record: RunRecord, private: str, runner: Runner, system: System) -> None:
    """Remove what a run may have left: its container, its own directory, the scratch that we made.

    What cannot be removed becomes a warning in the record: the run itself is over.
    """
    problems = []
    if runner.remove is not None and (container := _container(private)):
        # while its engine lives: one that is killed halfway leaves what it no longer knows
        finished = system.process.run(runner.remove(cid_file(private)))
        if not finished.ok:
            # whose monitor was killed beside it, of which podman only takes note the first time
            finished = system.process.run(runner.remove(cid_file(private)))
        if not finished.ok:
            problems.append(f"the container could not be removed: {finished.stderr.strip()}")
        kill_recorded(pid_file(private))
        kill_named(container)
    else:
        kill_recorded(pid_file(private))
    for path in (private, record.scratch if record.scratch_created else ""):
        try:
            _remove(path, runner, system)
        except CesError as error:
            problems.append(str(error))
    for problem in problems:
        system.tell(f"warning: {problem}")
    record.warnings = (*record.warnings, *problems)


def _container(private: str) -> str:
    """The container's id, which an engine that is just making it gets the time to write down."""
    end = time.monotonic() + _PATIENCE
    while True:
        lives = recorded_lives(pid_file(private))
        try:
            with open(cid_file(private), encoding="ascii", opener=regular) as stream:
                found = stream.read().strip()
        except (OSError, ValueError):
            found = ""
        if found or not lives or time.monotonic() > end:
            return found
        time.sleep(0.02)


def _remove(path: str, runner: Runner, system: System) -> None:
    delete = runner.delete
    if path and os.path.lexists(path):
        remove_tree(path, delete and (lambda left: system.process.run(delete(left))))


def sweep(system: System, job: str | None = None) -> list[RunRecord]:
    """Clear away after this user's runs and pulls on this host whose process died.

    The records of the runs say so.

    :param job: only after runs of this Slurm job, by either of its numbers, which has just ended: a
        run of it that died when its time was over ended so, and any other dead run was cancelled.
    :returns: the records of the runs that were swept.
    """
    remove_abandoned(system.account.make_runtime(), ("auth", "ca"))
    swept = []

    def mine(record: RunRecord) -> bool:
        of_job = job is None or job in (record.slurm_job_id, record.slurm_raw_id)
        return record.host == system.host and of_job

    for run, record in system.records.take_over_dead(mine):
        if record.scheduler != "none" and record.state == "PENDING":
            if system.allocation is not None:
                # its submission was killed, and this job may be the run's own: it claims the run
                continue
            from ..system.job_files import JobFiles

            if JobFiles(system.account.state).let_go(run, record):
                continue
        if record.runner in NAMES:
            runner = runner_named(record.runner)
            clear_away(record, system.account.private_for(run.run_id), runner, system)
        if record.state in LIVE:
            record.ended = utc_now()
            record.state, record.reason = "CANCELLED", _DIED
            if job is not None and record.deadline is not None and is_over(record.deadline):
                record.state, record.reason = "TIMEOUT", TIME_OVER
        run.save_last(record)
        audit_run(system.policy, record)
        run.finish()
        swept.append(record)
    # behind the runs: what a container is made of goes when it is no more
    sweep_transfers(system.account)
    return swept
