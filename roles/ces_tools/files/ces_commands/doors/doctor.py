# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-doctor``."""

from __future__ import annotations

from ces.json_text import dumps_lines
from ces.services.doctor import Diagnosis, diagnose
from ces.system.signals import StopSignals
from ces.values.finding import LEVELS

from ces_commands.parse import Parsed

_FAULTS = 1


def main(parsed: Parsed) -> int:
    """Say what is wrong with this host, and how to mend it; 1 if that keeps it from its work."""
    with StopSignals() as signals:
        diagnosis = diagnose(parsed.text("user"), parsed.on("canary"), signals)
    if parsed.on("json"):
        print(dumps_lines(diagnosis.as_dict()), end="")
    else:
        _print(diagnosis, parsed.on("verbose"))
    return _FAULTS if diagnosis.level == "fault" else 0


def _print(diagnosis: Diagnosis, all_of_it: bool) -> None:
    for one in diagnosis.findings:
        if all_of_it or one.level != "ok":
            print("\n".join(one.lines(roles=True)))
    counts = dict.fromkeys(reversed(LEVELS), 0)
    for one in diagnosis.findings:
        counts[one.level] += 1
    told = ", ".join(f"{count} {_counted(level, count)}" for level, count in counts.items())
    print(f"{diagnosis.user}: {told}")


def _counted(level: str, count: int) -> str:
    return level if count == 1 or level == "ok" else f"{level}s"
