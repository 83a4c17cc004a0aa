# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-stop``."""

from __future__ import annotations

from ces.services.runs import stop_left_by_task, stop_run
from ces.shown import shown

from ces_commands.doors.common import system_for
from ces_commands.doors.runs import whole_number
from ces_commands.parse import Parsed


def main(parsed: Parsed) -> int:
    """Stop runs by number, or those that a Slurm task left."""
    numbers = [whole_number(text, "a run's number") for text in parsed.operands]
    system = system_for(parsed)
    if parsed.on("left_by_task"):
        for record in stop_left_by_task(system):
            system.tell(f"run {record.run_id}: {record.state}: {record.reason}")
    for number in numbers:
        record = stop_run(number, system)
        print(shown(f"run {number}: {record.state}"))
    return 0
