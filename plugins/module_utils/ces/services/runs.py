# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are or were: list, look at, stop."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from ..errors import Busy, CesError
from ..runners.podman import STOP_GRACE
from ..system.system import System
from ..values.record import LIVE, RunRecord
from .clean import sweep

_PATIENCE = STOP_GRACE + 20.0
"""Seconds until a run that was told to stop must be over: the grace, and the clearing away."""


def list_runs(
    system: System, limit: int | None = None, state: str | None = None, runner: str | None = None
) -> list[RunRecord]:
    """Records, the newest first, at most ``limit``, of one state or engine if given."""
    found: list[RunRecord] = []
    for record in system.records.newest():
        if limit is not None and len(found) >= limit:
            break
        if state in (None, record.state) and runner in (None, record.runner):
            found.append(record)
    return found


def stop_run(run_id: int, system: System) -> RunRecord:
    """Stop a run gently (SIGTERM, after ten seconds SIGKILL) and wait until it is cleared away.

    :raises CesError: there is no such run, it has ended, or it is on another host.
    """
    record = system.records.load(run_id)
    if record.state not in LIVE:
        raise CesError(f"stop run {run_id}", said=f"it has ended: {record.state}")
    if record.host != system.host:
        raise CesError(
            f"stop run {run_id}",
            said=f"it runs on {record.host}",
            hint=f"run ces-stop {run_id} there",
        )
    if system.records.is_alive(run_id) and record.pid is not None:
        with suppress(ProcessLookupError):  # it may have ended meanwhile
            os.kill(record.pid, signal.SIGTERM)
        _await_end(run_id, system)
    sweep(system)
    return system.records.load(run_id)


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
