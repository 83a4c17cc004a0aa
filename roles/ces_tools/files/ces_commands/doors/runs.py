# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-runs``."""

from __future__ import annotations

import json

from ces.errors import InvalidValue
from ces.services.runs import list_runs, look_up
from ces.shown import shown
from ces.values.record import STATES, RunRecord

from ces_commands.doors.common import print_table, spell, system_for
from ces_commands.parse import Parsed

_LISTED = 20


def main(parsed: Parsed) -> int:
    """List runs, or show one."""
    system = system_for(parsed)
    if parsed.operands:
        record = look_up(whole_number(parsed.operands[0], "a run's number"), system)
        print(json.dumps(record.as_dict(), indent=1) if parsed.on("json") else _details(record))
        return 0
    limit = whole_number(parsed.text("limit") or str(_LISTED), "--limit")
    records = list_runs(system, limit or None, _state(parsed.text("state")))
    if parsed.on("json"):
        print(json.dumps([record.as_dict() for record in records], indent=1))
        return 0
    print_table(
        ("RUN", "STATE", "RC", "STARTED", "SECONDS", "IMAGE"), [_row(record) for record in records]
    )
    return 0


def whole_number(text: str, what: str) -> int:
    """A number of at least 0."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidValue(what, text, "it is no whole number", "ces-runs lists your runs")
    return int(text)


def _state(text: str | None) -> str | None:
    """A state, in small or capital letters; a word that is none would list nothing."""
    if text is not None and text.upper() not in STATES:
        raise InvalidValue(
            "--state", text, "no run has such a state", f"one of {', '.join(STATES)}"
        )
    return text and text.upper()


def _row(record: RunRecord) -> tuple[str, ...]:
    return (
        str(record.run_id),
        record.state,
        "" if record.rc is None else str(record.rc),
        (record.started or "")[:19],
        "" if record.duration is None else f"{record.duration:.1f}",
        record.image,
    )


def _details(record: RunRecord) -> str:
    facts = {
        "run": str(record.run_id),
        "state": record.state,
        "reason": record.reason,
        "exit status": "" if record.rc is None else str(record.rc),
        "image": record.image,
        "digest": record.digest or "",
        "outputs": record.outputs,
        "log": record.log,
        "started": record.started or "",
        "ended": record.ended or "",
        "host": record.host,
        "Slurm job": record.slurm_job_id or "",
        "command": spell(record.command),
    }
    facts.update({f"warning {number}": text for number, text in enumerate(record.warnings, 1)})
    return "\n".join(f"{name + ':':<13}{shown(value)}" for name, value in facts.items() if value)
