# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose subordinate ids were whose: ``userdel`` frees a range, and ``useradd`` hands it on.

Files that containers of the one left are then the other's, wherever both can reach them.
"""

from __future__ import annotations

import json
from bisect import bisect_left

from ..dataclass import dataclass, field
from ..typed import Any, Collection, Iterable, Mapping
from .subids import Entry, IdRange, parse_number

Noted = Mapping[IdRange, str]
"""Ranges of one kind and whose they were last; no two of them have an id in common."""


@dataclass(frozen=True)
class History:
    """What is known of earlier runs, by kind of id."""

    noted: Mapping[str, Noted] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> History:
        """Read it; what cannot be read is not known."""
        try:
            said: Any = json.loads(text)
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(said, dict):
            return cls()
        return cls({kind: dict(_ranges(noted)) for kind, noted in said.items()})

    def __str__(self) -> str:
        kinds = {
            kind: {f"{ids.start}:{ids.count}": name for ids, name in sorted(noted.items())}
            for kind, noted in self.noted.items()
        }
        return f"{json.dumps(kinds, indent=1, sort_keys=True)}\n"

    def former(self, kind: str, entries: Mapping[str, Iterable[Entry]]) -> list[Former]:
        """The lines of users with ids that were somebody else's.

        :param entries: each user's lines, by name.
        """
        noted = sorted(self.noted.get(kind, {}).items())
        starts = [ids.start for ids, _owner in noted]
        found = []
        for name, lines in entries.items():
            for entry in lines:
                last = bisect_left(starts, entry.ids.last + 1) - 1
                while last >= 0 and noted[last][0].overlaps(entry.ids):
                    if noted[last][1] != name:
                        found.append(Former(name, entry, noted[last][1]))
                        break
                    last -= 1
        return found

    def of_others(self, names: Collection[str]) -> list[IdRange]:
        """Ranges that were others' than these users': none of them is to get one."""
        return [
            ids
            for noted in self.noted.values()
            for ids, owner in noted.items()
            if owner not in names
        ]

    def own(self, count: int) -> dict[str, IdRange]:
        """By users' names the range that each had of both kinds, if it has so many ids."""
        uids, gids = (self.noted.get(kind, {}) for kind in ("uid", "gid"))
        return {
            name: ids
            for ids, name in sorted(uids.items(), reverse=True)
            if ids.count >= count and gids.get(ids) == name
        }

    def noting(self, kind: str, ranges: Mapping[str, Iterable[IdRange]]) -> History:
        """The same with these ranges, which are their users' now."""
        new = {ids: name for name, several in ranges.items() for ids in several if ids.count}
        before = self.noted.get(kind, {})
        if all(before.get(ids) == name for ids, name in new.items()):
            return self
        now = sorted(new)
        starts = [ids.start for ids in now]

        def is_new(ids: IdRange) -> bool:
            at = bisect_left(starts, ids.last + 1) - 1
            return at >= 0 and now[at].overlaps(ids)

        kept = {ids: name for ids, name in before.items() if not is_new(ids)}
        return History({**self.noted, kind: {**kept, **new}})

    def without(self, names: Iterable[str]) -> History:
        """The same without what is known of these users: their ids may be given to anybody."""
        gone = set(names)
        return History(
            {
                kind: {ids: name for ids, name in noted.items() if name not in gone}
                for kind, noted in self.noted.items()
            }
        )


@dataclass(frozen=True)
class Former:
    """A user's line whose ids were somebody else's before."""

    user: str
    entry: Entry
    owner: str


def _ranges(noted: Any) -> Iterable[tuple[IdRange, str]]:
    if not isinstance(noted, dict):
        return
    for text, name in noted.items():
        start, count = map(parse_number, text.split(":", 1) if ":" in text else ("", ""))
        if start is not None and count and isinstance(name, str):
            yield IdRange(start, count), name
