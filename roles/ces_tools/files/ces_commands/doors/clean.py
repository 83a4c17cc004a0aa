# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-clean``."""

from __future__ import annotations

from ces.services.clean import sweep
from ces.services.runs import ask_slurm
from ces.shown import shown

from ces_commands.doors.common import system_for
from ces_commands.parse import Parsed


def main(parsed: Parsed) -> int:
    """Clear away after runs whose process is dead."""
    system = system_for(parsed)
    job = parsed.text("job")
    swept = sweep(system, job)
    if job is None:
        ask_slurm(system)
    for record in swept:
        print(shown(f"run {record.run_id}: cleared away ({record.image})"))
    if not swept:
        print("nothing to clear away")
    return 0
