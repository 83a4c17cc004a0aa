# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands share: the system as they see it, the runner, tables."""

from __future__ import annotations

import sys

from ces.blocks import suppress
from ces.shown import shown
from ces.system.system import System
from ces.typed import Sequence

from ces_commands.parse import Parsed


def system_for(parsed: Parsed, echo: bool = False) -> System:
    """This host; what services tell goes to standard error, behind the command's name."""

    def tell(message: str) -> None:
        # whoever started us may be gone; that is no reason to leave a run half recorded
        with suppress(OSError):
            print(f"{parsed.program}: {shown(message)}", file=sys.stderr, flush=True)

    return System.here(tell=tell, echo=echo)


def runner_for(parsed: Parsed, system: System) -> str:
    """The runner that was named, else the site's default, which one line says."""
    if parsed.runner is not None:
        return parsed.runner
    default = system.policy.default_runner
    system.tell(f"no runner named: using {default}, this site's default")
    return default


def spell(argv: Sequence[str]) -> str:
    """An argument list as one could type it, on one line."""
    import shlex

    return shown(shlex.join(argv))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they must be."""
    lines = [[shown(cell) for cell in line] for line in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip())
