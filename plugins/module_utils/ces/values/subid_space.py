# SPDX-License-Identifier: GPL-3.0-or-later
"""Which subordinate ids are free, and which of them a user gets.

The rule is shadow-utils' own for ``SUB_UID_DETERMINISTIC`` (login.defs(5)), so that a user has the
same range on every back-end, and the one that useradd would give there: the space is cut into slots
of ``count`` ids, and a user's own is number ``uid - UID_MIN``.

Where shadow-utils give up, or let ranges overlap (``UNSAFE_SUB_UID_DETERMINISTIC_WRAP``), we do
neither: a number beyond the last slot goes round (modulo), and who finds the own slot taken gets
the next free one above it, going round once; when no whole slot is free any more, the lowest gap.
"""

from __future__ import annotations

from bisect import bisect_right, insort

from ..dataclass import dataclass
from ..typed import Iterable, Mapping
from .subids import ID_MAX, IdRange


class Space:
    """The free ids between two limits: gaps in ascending order, found by bisection."""

    def __init__(self, low: int, high: int, taken: Iterable[IdRange]) -> None:
        self._gaps: list[tuple[int, int]] = []
        free = low
        for ids in sorted(taken):
            if ids.count < 1:
                continue
            if ids.start > high:
                break
            if ids.start > free:
                self._gaps.append((free, ids.start - 1))
            free = max(free, ids.last + 1)
        if free <= high:
            self._gaps.append((free, high))

    def take(self, ids: IdRange) -> bool:
        """Take exactly this range; False if a part of it is not free."""
        index = bisect_right(self._gaps, (ids.start, ID_MAX + 1)) - 1
        if index < 0 or self._gaps[index][1] < ids.last:
            return False
        low, high = self._gaps.pop(index)
        for gap in ((low, ids.start - 1), (ids.last + 1, high)):
            if gap[0] <= gap[1]:
                insort(self._gaps, gap)
        return True

    def take_from(self, position: int, count: int, grid: int | None = None) -> IdRange | None:
        """Take the first free range at or above a position; with ``grid``, a whole slot of that."""
        first = max(bisect_right(self._gaps, (position, ID_MAX + 1)) - 1, 0)
        for index in range(first, len(self._gaps)):
            low, high = self._gaps[index]
            start = max(low, position)
            if grid is not None:
                start += (grid - start) % count
            ids = IdRange(start, count)
            if ids.last <= high:
                self.take(ids)
                return ids
        return None


@dataclass(frozen=True)
class Slots:
    """The space cut into slots: where each uid is at home.

    :param low: lowest id that may be given away.
    :param high: highest one.
    :param count: ids in a slot.
    :param uid_min: the uid whose own slot is the first.
    """

    low: int
    high: int
    count: int
    uid_min: int

    @property
    def number(self) -> int:
        """How many whole slots there are."""
        return max(0, (self.high - self.low + 1) // self.count)

    def home(self, uid: int) -> IdRange:
        """The slot of a uid."""
        return IdRange(self.low + (uid - self.uid_min) % self.number * self.count, self.count)

    def allocate(self, users: Mapping[str, int], space: Space) -> dict[str, IdRange]:
        """A range for each user (name to uid); who is missing in the answer found no room.

        Linear but for sorting: the searches upward never look twice at what they have passed.
        """
        if self.number == 0:
            return {}
        given: dict[str, IdRange] = {}
        homeless = []
        for name in sorted(users, key=lambda n: (users[n], n)):
            home = self.home(users[name])
            if space.take(home):
                given[name] = home
            else:
                homeless.append((home.start, name))
        homeless.sort()
        for again, grid in ((False, self.low), (True, self.low), (True, None)):
            waiting = [
                (self.low if again else at, name) for at, name in homeless if name not in given
            ]
            given.update(self._sweep(waiting, grid, space))
        return given

    def _sweep(
        self, waiting: Iterable[tuple[int, str]], grid: int | None, space: Space
    ) -> dict[str, IdRange]:
        """Go upward once, giving each the first that is free above their own start (ascending)."""
        given = {}
        position = self.low
        for start, name in waiting:
            position = max(position, start)
            ids = space.take_from(position, self.count, grid)
            if ids is None:
                break
            given[name] = ids
            position = ids.last + 1
        return given
