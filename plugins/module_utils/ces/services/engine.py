# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine that runs one container: it is followed to its end, and stopped when we are told so."""

from __future__ import annotations

import time

from ..dataclass import replace
from ..engines.command import Launch
from ..errors import EXIT_OURS
from ..system.cgroup import oom_kills
from ..system.files import read_if_there, remove_quietly
from ..system.process import Finished, Streams
from ..system.signals import stop_signal
from ..system.system import System, is_in_job
from ..typed import Callable
from ..values.command import Command
from ..values.record import RunRecord, utc_now
from .plan import Plan
from .ready import Ready
from .verdict import complaint_of, conclude

_BESIDE = 0.2
"""Seconds within which a signal to a whole job has reached all of it."""


def run_engine(
    ready: Ready, launch: Launch, command: Command, record: RunRecord, system: System
) -> Finished:
    """Run the engine to its end, and say in the record how it went.

    :param command: what the engine is told for this launch.
    """
    plan = ready.plan
    streams = Streams(
        log=record.log,
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
    finished = system.process.run(command, streams)
    if plan.runner.aside:
        finished = replace(finished, stderr=finished.stderr + read_if_there(launch.aside_file))
    if plan.in_job:
        finished = _stopped_beside_us(finished, streams, system)
    record.ended, record.duration = utc_now(), round(time.monotonic() - begun, 3)
    complaint = complaint_of(finished, plan.runner, launch)
    conclude(record, finished, complaint, plan, system, _oom_kills(system) > kills_before)
    if finished.rc < EXIT_OURS and not finished.stopped_by:
        # the engine ended by itself and left nothing; to ask podman for it again would cost 40 ms
        remove_quietly(launch.cid_file)
    for path in (launch.pid_file, launch.env_file):
        remove_quietly(path)
    gone = plan.runner.gone
    if gone and finished.rc == EXIT_OURS and gone in finished.stderr:
        ready.store.forget()
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
