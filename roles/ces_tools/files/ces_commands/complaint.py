# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors as a person at a terminal reads them."""

from __future__ import annotations

from ces.errors import CesError

from ces_commands.doors.common import spell
from ces_commands.parse import Parsed


def spell_error(parsed: Parsed, error: CesError) -> str:
    """What was tried, what was answered, what to do; with ``--verbose`` also what ran."""
    lines = [f"{parsed.program}: could not {error.tried}"]
    if error.said:
        lines.append(f"  answer: {error.said}")
    if error.hint:
        lines.append(f"  to do:  {error.hint}")
    if parsed.on("verbose") and error.cmd:
        lines.append(f"  ran:    {spell(error.cmd)}")
    return "\n".join(lines)
