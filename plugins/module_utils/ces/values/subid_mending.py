# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of one user that programs misread, put right: the ids stay the user's, and the same.

The kernel maps no id twice. So where two lines of a user have an id in common, by name and by uid
for example, podman does not start at all for that user.
"""

from __future__ import annotations

from ..dataclass import dataclass
from ..typed import Mapping, Sequence
from .subid_owners import Owners
from .subid_report import capped
from .subids import Entry, IdRange, SubidTable, line_of, overlapping


@dataclass(frozen=True)
class Mended:
    """A table after its mending, whose lines that changed, and what was done."""

    table: SubidTable
    changed: frozenset[str]
    warnings: tuple[str, ...]


def mended(
    path: str, kind: str, table: SubidTable, users: Mapping[str, int | None], owners: Owners
) -> Mended:
    """The lines of these users joined where they overlap, and keyed so that all programs agree."""
    lines = table.by_owner()
    edits: dict[int, str | None] = {}
    changed: dict[str, None] = {}
    said: list[str] = []
    for name, uid in users.items():
        mine = [e for key in owners.keys(name, uid) for e in lines.get(key, ()) if e.usable]
        # of two users with one uid the first has its lines
        mine = [entry for entry in mine if entry.number not in edits]
        for group in _to_change(kind, name, mine, owners):
            line = line_of(owners.key(kind, name), _joined(group))
            first, *others = sorted(entry.number for entry in group)
            edits.update({first: line, **dict.fromkeys(others)})
            changed[name] = None
            said.append(_said(path, name, group, line))
    return Mended(table.edited(edits), frozenset(changed), tuple(capped(said)))


def _to_change(
    kind: str, name: str, mine: Sequence[Entry], owners: Owners
) -> list[Sequence[Entry]]:
    """Groups of lines that are to become one."""
    together = overlapping(mine)
    joined = {entry.number for group in together for entry in group}
    key = owners.key(kind, name)
    wrong = [
        [entry]
        for entry in mine
        if entry.number not in joined
        and entry.owner != key
        and not owners.is_right(kind, name, entry.owner)
    ]
    return [*together, *wrong]


def _joined(group: Sequence[Entry]) -> IdRange:
    """All ids of entries that run into each other."""
    start = min(entry.ids.start for entry in group)
    return IdRange(start, max(entry.ids.last for entry in group) - start + 1)


def _said(path: str, name: str, group: Sequence[Entry], line: str) -> str:
    if len(group) > 1:
        numbers = ", ".join(str(number) for number in sorted(entry.number for entry in group))
        return (
            f"{path}: the lines {numbers} gave {name} some ids twice, with which podman does not "
            f"start. They were joined: {line}"
        )
    return (
        f"{path}: the key {group[0].owner} of line {group[0].number} means another account to some "
        f"programs. The line is {name}'s: it was changed to {line}"
    )
