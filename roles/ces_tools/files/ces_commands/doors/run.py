# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-run`` and ``ces-gpu-run``."""

from __future__ import annotations

import os

from ces.json_text import dumps_lines
from ces.services.run import planned, run_container
from ces.services.session import session
from ces.shown import shown
from ces.system.system import System
from ces.values.image import parse_image
from ces.values.record import RunRecord

from ces_commands.doors.asked import asked
from ces_commands.doors.common import runner_for, spell, system_for
from ces_commands.parse import Parsed


def main(parsed: Parsed) -> int:
    """Run a container; the exit status is the container's."""
    if parsed.text("job") is not None:
        return _job(parsed)
    system = system_for(parsed, echo=not parsed.on("json"))
    image = parse_image(parsed.operands[0], os.getcwd())
    spec = asked(parsed, image, runner_for(parsed, system), system)
    if parsed.on("dry_run"):
        _print_plan(parsed, planned(spec, system))
        return 0
    if parsed.on("verbose"):
        system.tell(f"running: {spell(planned(spec, system).command)}")
    with session(system):
        record = run_container(spec, system).record
    if parsed.on("json"):
        print(dumps_lines(record.as_dict()), end="")
    return _status(record, system)


def _job(parsed: Parsed) -> int:
    """Be the job of a run that a playbook submitted to Slurm."""
    from ces.services.jobs import run_job

    from ces_commands.doors.runs import whole_number

    number = whole_number(parsed.text("job") or "", "--job")
    system = system_for(parsed)
    with session(system):
        record = run_job(number, system).record
    return _status(record, system)


def _status(record: RunRecord, system: System) -> int:
    if record.state != "COMPLETED":
        system.tell(f"run {record.run_id}: {record.state}: {record.reason}")
    return 125 if record.rc is None else record.rc


def _print_plan(parsed: Parsed, record: RunRecord) -> None:
    if parsed.on("json"):
        print(dumps_lines(record.as_dict()), end="")
        return
    print(spell(record.command))
    for mount in record.mounts:
        print(shown(f"  {mount['target']} is {mount['source']} ({mount['access']})"))
    for warning in record.warnings:
        print(shown(f"  warning: {warning}"))
