# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-check``."""

from __future__ import annotations

import os

from ces.json_text import dumps_lines
from ces.services.check import Checked, Verdict, check_for_here
from ces.shown import shown
from ces.system.signals import StopSignals
from ces.system.system import System
from ces.values.image import parse_image
from ces.values.quantities import spell_bytes
from ces.values.spec import CheckSpec

from ces_commands.doors.common import system_for
from ces_commands.doors.credentials import credentials
from ces_commands.parse import Parsed

_WILL_NOT_WORK = 1


def main(parsed: Parsed) -> int:
    """Say whether an image will work; 0 if it does under the named runner, or the default one."""
    spec = CheckSpec(
        parse_image(parsed.operands[0], os.getcwd()),
        parsed.runner,
        credentials(parsed),
        parsed.on("elsewhere"),
    )
    system = system_for(parsed)
    checked = _with_files(spec, system) if parsed.on("pull") else _without(spec, system)
    if parsed.on("json"):
        print(dumps_lines(checked.as_dict()), end="")
    else:
        _print(checked, parsed.on("verbose"))
    if not checked.works and checked.others:
        system.tell(f"it works under {', '.join(checked.others)}: name that runner")
    return 0 if checked.works else _WILL_NOT_WORK


def _without(spec: CheckSpec, system: System) -> Checked:
    with StopSignals() as signals:
        system.process.signals = signals
        return check_for_here(spec, system)


def _with_files(spec: CheckSpec, system: System) -> Checked:
    # most checks look into no image, and do not pay for loading it
    from ces.services.check_inside import check_inside
    from ces.services.session import session

    with session(system):
        return check_inside(spec, system)


def _print(checked: Checked, all_of_it: bool) -> None:
    size = "" if checked.size is None else spell_bytes(checked.size)
    facts = ", ".join(filter(None, (checked.digest, checked.platform, size)))
    print(shown(f"{checked.image} ({facts})" if facts else checked.image))
    for verdict in checked.verdicts:
        print(f"{verdict.runner}: {verdict.words}")
        for line in _lines(verdict, all_of_it):
            print(shown(f"  {line}"))


def _lines(verdict: Verdict, all_of_it: bool) -> list[str]:
    told = (one for one in verdict.findings if all_of_it or one.level != "ok")
    return [line for one in told for line in one.lines()]
