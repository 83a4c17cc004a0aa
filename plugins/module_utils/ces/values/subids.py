# SPDX-License-Identifier: GPL-3.0-or-later
"""Subordinate ids: ranges, and the tables ``/etc/subuid`` and ``/etc/subgid`` (subuid(5)).

A table is read the way shadow-utils read it (``lib/subordinateio.c``), because their newuidmap
decides in the end. What they do not understand is kept as it stands.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

from ..dataclass import dataclass
from ..typed import Collection, Iterable, Mapping, Sequence

ID_MAX = 2**32 - 2
"""Highest id there is; the one above means "no id" to the kernel."""

_LINE_MAX = 1023
_NUMBER = re.compile(
    r"[ \t\v\f\r]*\+?(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*))"
)
_BASES = {"hex": 16, "octal": 8, "decimal": 10}


@dataclass(frozen=True, order=True)
class IdRange:
    """``count`` ids from ``start`` on."""

    start: int
    count: int

    @property
    def last(self) -> int:
        """The highest id of the range."""
        return self.start + self.count - 1

    def overlaps(self, other: IdRange) -> bool:
        """Whether an id lies in both."""
        return self.start <= other.last and other.start <= self.last

    def __str__(self) -> str:
        return f"{self.start}-{self.last}"


@dataclass(frozen=True)
class Entry:
    """One line that gives a range away.

    :param number: the line's number, from 1.
    :param owner: a user's name, or a uid in decimal (in both tables).
    :param usable: every tool accepts it: three fields, at least one id, none above the highest.
    """

    number: int
    owner: str
    ids: IdRange
    usable: bool = True

    @property
    def disabled(self) -> bool:
        """Commented out: nobody has these ids, but shadow-utils does not give them away either."""
        return self.owner.startswith("#")


@dataclass(frozen=True)
class SubidTable:
    """The lines of one table, and what they give away."""

    lines: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()

    @classmethod
    def parse(cls, text: str) -> SubidTable:
        """Read a table; nothing that can stand in a file is an error."""
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        entries = (_entry(number, line) for number, line in enumerate(lines, 1))
        return cls(tuple(lines), tuple(entry for entry in entries if entry is not None))

    def __str__(self) -> str:
        # the last line ends too: newer shadow-utils refuse the file otherwise ("Non-text file")
        return "".join(f"{line}\n" for line in self.lines)

    @property
    def unknown(self) -> list[int]:
        """Numbers of the lines that are neither entries, nor comments, nor blank."""
        known = {entry.number for entry in self.entries if entry.usable}
        return [
            number
            for number, line in enumerate(self.lines, 1)
            if number not in known and line.strip() and not line.lstrip().startswith("#")
        ]

    @property
    def in_force(self) -> list[Entry]:
        """The entries that are not commented out."""
        return [entry for entry in self.entries if not entry.disabled]

    def usable_by(self, name: str, uid: int) -> tuple[Entry, ...]:
        """The entries in force of a user, by name or by number, that programs can use."""
        owners = (name, str(uid))
        return tuple(one for one in self.in_force if one.usable and one.owner in owners)

    def by_owner(self) -> dict[str, list[Entry]]:
        """The entries of each key, in the table's order."""
        owners: dict[str, list[Entry]] = {}
        for entry in self.entries:
            owners.setdefault(entry.owner, []).append(entry)
        return owners

    def without(self, entries: Iterable[Entry]) -> SubidTable:
        """The table without these lines."""
        return self.edited(dict.fromkeys(entry.number for entry in entries))

    def edited(self, edits: Mapping[int, str | None]) -> SubidTable:
        """The table with other lines of these numbers; None removes one."""
        lines = (edits.get(number, line) for number, line in enumerate(self.lines, 1))
        return self.parse("".join(f"{line}\n" for line in lines if line is not None))

    def adding(self, new: Iterable[tuple[str, IdRange]]) -> SubidTable:
        """The table with a line at its end for each owner and range."""
        lines = list(self.lines)
        entries = list(self.entries)
        for owner, ids in new:
            lines.append(line_of(owner, ids))
            entries.append(Entry(len(lines), owner, ids))
        return SubidTable(tuple(lines), tuple(entries))


def line_of(owner: str, ids: IdRange) -> str:
    """The line that gives a range away."""
    return f"{owner}:{ids.start}:{ids.count}"


def _entry(number: int, line: str) -> Entry | None:
    fields = line.split(":")
    if len(line) > _LINE_MAX or line.startswith(("+", "-")) or len(fields) < 3 or not fields[0]:
        return None
    start, count = parse_number(fields[1]), parse_number(fields[2])
    if start is None or count is None:
        return None
    ids = IdRange(start, count)
    # older shadow-utils (Debian 12) honour a line with more fields, newer ones do not
    return Entry(number, fields[0], ids, len(fields) == 3 and count > 0 and ids.last <= ID_MAX)


def parse_number(text: str) -> int | None:
    """A number as strtoul(3) reads it: decimal, 0x hexadecimal, 0 octal; None when it is none."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    kind = match.lastgroup or "decimal"
    digits = match.group(kind)
    # int() refuses thousands of digits, and nothing near that is an id
    return int(digits, _BASES[kind]) if len(digits) <= 40 else None


def overlapping(entries: Collection[Entry]) -> list[list[Entry]]:
    """Groups of entries whose ranges run into each other; an entry is in one group at most."""
    groups: list[list[Entry]] = []
    last = -1
    group: list[Entry] = []
    for entry in sorted((e for e in entries if e.ids.count), key=lambda e: (e.ids.start, e.number)):
        if entry.ids.start > last:
            groups.append(group)
            group = []
        group.append(entry)
        last = max(last, entry.ids.last)
    return [found for found in [*groups, group] if len(found) > 1]


def containing(entries: Collection[Entry], ids: Sequence[int]) -> list[tuple[Entry, Sequence[int]]]:
    """Entries whose range contains some of the (sorted) ids, with those."""
    found = []
    for entry in entries:
        inside = ids[bisect_left(ids, entry.ids.start) : bisect_right(ids, entry.ids.last)]
        if inside:
            found.append((entry, inside))
    return found
