# SPDX-License-Identifier: GPL-3.0-or-later
"""Clear away after runs: after our own at once, after dead ones whenever somebody looks."""

from __future__ import annotations

import os

from ..errors import CesError
from ..runners.table import RUNNERS, Runner
from ..system.files import remove_tree
from ..system.system import System
from ..values.record import LIVE, RunRecord, utc_now


def clear_away(record: RunRecord, cid_file: str, runner: Runner, system: System) -> None:
    """Remove what a run may have left: its container and the scratch directory that we made.

    What cannot be removed becomes a warning in the record: the run itself is over.
    """
    problems = []
    if os.path.exists(cid_file):
        finished = system.process.run(runner.remove(cid_file))
        if not finished.ok:
            problems.append(f"the container could not be removed: {finished.stderr.strip()}")
    if record.scratch_created and os.path.lexists(record.scratch):
        try:
            remove_tree(record.scratch, lambda path: system.process.run(runner.delete(path)))
        except CesError as error:
            problems.append(str(error))
    for problem in problems:
        system.tell(f"warning: {problem}")
    record.warnings = (*record.warnings, *problems)


def sweep(system: System) -> list[RunRecord]:
    """Clear away after this user's runs on this host whose process died; their records say so.

    :returns: the records of the runs that were swept.
    """
    swept = []
    for run, record in system.records.take_over_dead(lambda record: record.host == system.host):
        runner = RUNNERS.get(record.runner)
        private = f"{system.account.runtime}/run-{run.run_id}"
        if runner is not None:
            clear_away(record, f"{private}/cid", runner, system)
        if os.path.lexists(private):
            remove_tree(private)
        if record.state in LIVE:
            record.state, record.ended = "CANCELLED", utc_now()
            record.reason = "the process that ran it was killed, or the host went down"
        run.save_last(record)
        run.finish()
        swept.append(record)
    return swept
