# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a table of subordinate ids that people wrote: said, never mended unasked."""

from __future__ import annotations

from ..typed import Mapping, Sequence
from .subids import Entry, SubidTable, containing, overlapping

_MOST = 20
"""Warnings of one sort, and names in one warning; a table may have thousands."""
_SHOWN = 5
_CHARACTERS = 60


def report(path: str, kind: str, table: SubidTable, real: Mapping[int, str]) -> list[str]:
    """Warnings about a table.

    :param kind: ``uid`` or ``gid``.
    :param real: the ids of accounts (or groups) that exist, with their names.
    """
    unknown = [
        f"{path}: line {number} is not NAME:START:COUNT: {table.lines[number - 1][:_CHARACTERS]!r}"
        ". It was kept, but some programs refuse the whole file because of it: correct or remove it"
        for number in table.unknown
    ]
    overlaps = [_overlap(path, group) for group in overlapping(table.in_force)]
    holes = [
        _hole(path, kind, entry, [f"{number} ({real[number]})" for number in ids])
        for entry, ids in containing(table.in_force, sorted(real))
    ]
    return [*capped(unknown), *capped(overlaps), *capped(holes)]


def capped(warnings: Sequence[str]) -> list[str]:
    """The first of them, and how many more there are."""
    more = len(warnings) - _MOST
    return [*warnings[:_MOST], *([f"... and {more} more like the last one"] if more > 0 else [])]


def listed(names: Sequence[str], shown: int = _SHOWN) -> str:
    """Some names, and how many more there are."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def _overlap(path: str, group: Sequence[Entry]) -> str:
    entries = [f"{entry.owner} {entry.ids} (line {entry.number})" for entry in group]
    return (
        f"{path}: ranges overlap, so that containers can reach into one another: "
        f"{listed(entries)}. They were kept: remove the lines that should go, and run this again "
        "for their users"
    )


def _hole(path: str, kind: str, entry: Entry, inside: Sequence[str]) -> str:
    return (
        f"{path}: the range {entry.ids} of {entry.owner} (line {entry.number}) contains real "
        f"{kind}s: {listed(inside)}. Containers of {entry.owner} can act as them. It was kept: "
        "remove the line, and run this again for its user"
    )
