# SPDX-License-Identifier: GPL-3.0-or-later
"""Give users their subordinate ids, or take them away: read, plan, lock, plan again, write."""

from __future__ import annotations

from ..dataclass import dataclass, field, replace
from ..errors import CesError, InvalidValue
from ..system.host.idmap import ids_in_use
from ..system.subids import KINDS, LoginDefs, SubidHost
from ..typed import Mapping, Sequence
from ..values.subid_history import History
from ..values.subid_mending import Mended, mended
from ..values.subid_owners import Owners
from ..values.subid_report import capped, listed, report
from ..values.subid_space import Slots, Space
from ..values.subids import ID_MAX, Entry, IdRange, SubidTable, overlapping
from .subid_people import People, Selection
from .subid_reuse import Tables, entries_of, handed_on, noted, settled

START_MIN = 65536
"""Ids below are for real accounts (nobody, for one, is 65534)."""
_OTHER = {"uid": "gid", "gid": "uid"}


@dataclass(frozen=True)
class Request:
    """What users shall have.

    :param start: lowest id to give away; None takes ``SUB_UID_MIN``.
    :param count: least number of ids in a user's range.
    :param present: give, or else take away.
    :param reused: what becomes of ids that were somebody else's: ``refuse``, ``give`` to who has
        them now, or ``replace`` by new ones, so that nobody gets them.
    """

    users: Selection
    start: int | None = None
    count: int = 65536
    present: bool = True
    reused: str = "refuse"

    def __post_init__(self) -> None:
        if not 1 <= self.count <= ID_MAX:
            raise InvalidValue("count", self.count, f"it is not between 1 and {ID_MAX}")
        if self.start is not None and not START_MIN <= self.start <= ID_MAX:
            raise InvalidValue(
                "start",
                self.start,
                f"it is not between {START_MIN} and {ID_MAX}",
                "lower ids belong to real accounts; SUB_UID_MIN of login.defs is the usual choice",
            )


@dataclass(frozen=True)
class Change:
    """A file's text before and after."""

    kind: str
    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be.

    :param changed_users: whose ranges changed: they need ``podman system migrate``.
    :param stale_users: whose podman works with other ranges: they need it, whoever changed them.
    :param ranges: for each user the range of ``uid`` and of ``gid``.
    :param history: what is to be noted of them; None where that is known.
    """

    changes: tuple[Change, ...] = ()
    changed_users: tuple[str, ...] = ()
    stale_users: tuple[str, ...] = ()
    ranges: Mapping[str, Mapping[str, IdRange]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    history: History | None = None


def apply(request: Request, host: SubidHost) -> Outcome:
    """Make it so. Without anything to do no lock is taken and nothing is written."""
    outcome = plan(request, host)
    if not outcome.changes and outcome.history is None:
        return outcome
    with host.locked():
        # others may have written while we waited
        outcome = plan(request, host)
        for change in outcome.changes:
            host.write(change.kind, change.after)
        if outcome.history is not None:
            host.note(outcome.history)
    return outcome


def plan(request: Request, host: SubidHost) -> Outcome:
    """What :func:`apply` would do now.

    :raises CesError: a user or the group is missing, another service than files gives ids away
        here, or there are not enough ids.
    """
    defs = host.login_defs()
    people = People.select(request.users, host.names, defs, missing_is_error=request.present)
    if not people.selected:
        return Outcome(warnings=people.warnings)
    _check_source(host)
    texts = {kind: host.read(kind) for kind in KINDS}
    tables: Tables = {kind: SubidTable.parse(text) for kind, text in texts.items()}
    owners = people.owners(_keys(tables), host.names)
    known = history = host.history()
    replaced: tuple[str, ...] = ()
    if request.present:
        former = handed_on(history, people, owners, tables, host)
        tables, replaced = settled(former, request.reused, tables, host)
        done = _given(request, people, owners, defs, tables, host, history)
        history = noted(history, people, owners, done.tables)
    else:
        done = _taken(people, owners, tables)
        history = history.without(people.selected)
    changes = [
        Change(kind, host.path(kind), texts[kind], str(done.tables[kind]))
        for kind in KINDS
        if str(done.tables[kind]) != texts[kind]
    ]
    remaining = [
        warning
        for kind, real in (("uid", people.uids), ("gid", people.gids))
        for warning in report(host.path(kind), kind, done.tables[kind], real, owners)
    ]
    return Outcome(
        tuple(changes),
        tuple(name for name in people.selected if name in done.changed),
        _stale(people, done.tables, host),
        done.ranges,
        (*people.warnings, *replaced, *done.warnings, *remaining),
        history if history != known else None,
    )


def _stale(people: People, tables: Tables, host: SubidHost) -> tuple[str, ...]:
    """The users whose podman works with other ranges than the tables give them."""
    in_use = {
        name: ids_in_use(f"{host.runtimes}/{uid}")
        for name, uid in people.selected.items()
        if uid is not None
    }
    running = {name: used for name, used in in_use.items() if any(map(_is_known, used.values()))}
    if not running:
        return ()
    lines = {kind: tables[kind].by_owner() for kind in KINDS}
    return tuple(
        name
        for name, used in running.items()
        if any(
            used[kind] not in (None, _ranges(lines[kind], name, people.selected[name]))
            for kind in KINDS
        )
    )


def _is_known(ranges: object) -> bool:
    return ranges is not None


def _ranges(
    lines: Mapping[str, Sequence[Entry]], name: str, uid: int | None
) -> tuple[IdRange, ...]:
    """A user's ranges, as podman reads them."""
    entries = [*lines.get(name, ()), *lines.get(str(uid), ())]
    return tuple(sorted(one.ids for one in entries if one.usable and not one.disabled))


def _check_source(host: SubidHost) -> None:
    source = host.source()
    if source != "files":
        raise CesError(
            f"change {host.path('uid')} and {host.path('gid')}",
            said=f"nobody reads them, because {host.etc}/nsswitch.conf says 'subid: {source}'",
            hint="give the ranges there (FreeIPA: ipa subid-generate --owner=NAME), or write "
            f"'subid: files' in {host.etc}/nsswitch.conf and run this again",
        )


@dataclass(frozen=True)
class _Done:
    """The tables as they shall be, and for whom that is a change."""

    tables: Tables
    changed: frozenset[str]
    ranges: Mapping[str, Mapping[str, IdRange]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def _keys(tables: Tables) -> frozenset[str]:
    return frozenset(entry.owner for table in tables.values() for entry in table.entries)


def _taken(people: People, owners: Owners, tables: Tables) -> _Done:
    mine = {kind: entries_of(tables[kind], people, owners) for kind in KINDS}
    return _Done(
        {
            kind: tables[kind].without(
                entry for entries in mine[kind].values() for entry in entries
            )
            for kind in KINDS
        },
        frozenset(name for kind in KINDS for name, entries in mine[kind].items() if entries),
    )


def _given(
    request: Request,
    people: People,
    owners: Owners,
    defs: LoginDefs,
    tables: Tables,
    host: SubidHost,
    history: History,
) -> _Done:
    """Each user has a range, and in lines that every program reads alike."""
    good: dict[str, Mended] = {
        kind: mended(host.path(kind), kind, tables[kind], people.selected, owners) for kind in KINDS
    }
    tables = {kind: good[kind].table for kind in KINDS}
    done = _Giving(request, people, owners, defs, tables, history).done()
    return replace(
        done,
        changed=done.changed.union(*(one.changed for one in good.values())),
        warnings=(*(said for one in good.values() for said in one.warnings), *done.warnings),
    )


class _Giving:
    """Gives each user who lacks one a range: that of the other table if possible, or a new one."""

    def __init__(
        self,
        request: Request,
        people: People,
        owners: Owners,
        defs: LoginDefs,
        tables: Tables,
        history: History,
    ) -> None:
        self.request, self.people, self.defs, self.tables = request, people, defs, tables
        self.owners = owners
        self.real = [IdRange(number, 1) for number in {*people.uids, *people.gids}]
        self.had = history.own(request.count)
        if request.reused != "give":
            self.real += history.of_others(people.selected)
        self.mine = {kind: entries_of(tables[kind], people, owners) for kind in KINDS}
        self.kept = {kind: self._large_enough(kind) for kind in KINDS}
        self.new: dict[str, dict[str, IdRange]] = {kind: {} for kind in KINDS}

    def done(self) -> _Done:
        for kind in KINDS:
            self._copy_to(kind)
        self._allocate()
        tables = {kind: self.tables[kind].adding(self._lines(kind)) for kind in KINDS}
        ranges = {
            name: {
                kind: self.new[kind][name] if name in self.new[kind] else self.kept[kind][name].ids
                for kind in KINDS
            }
            for name in self.people.selected
        }
        return _Done(tables, frozenset().union(*self.new.values()), ranges, self._too_small())

    def _lines(self, kind: str) -> list[tuple[str, IdRange]]:
        """The new lines, by their ranges."""
        new = sorted(self.new[kind].items(), key=lambda given: given[1])
        return [(self.owners.key(kind, name), ids) for name, ids in new]

    def _large_enough(self, kind: str) -> dict[str, Entry]:
        """The first line of each user that can stay as their range."""
        kept = {}
        for name, entries in self.mine[kind].items():
            valid = [e for e in entries if e.usable and e.ids.count >= self.request.count]
            if valid:
                kept[name] = min(valid, key=lambda entry: entry.number)
        return kept

    def _lacking(self, kind: str) -> list[str]:
        return [
            name
            for name in self.people.selected
            if name not in self.kept[kind] and name not in self.new[kind]
        ]

    def _copy_to(self, kind: str) -> None:
        """Users with a good range in the other table only: the same one, unless somebody has it."""
        low, high = self.defs[f"SUB_{kind.upper()}_MIN"], self.defs[f"SUB_{kind.upper()}_MAX"]
        space = Space(
            low, min(high, ID_MAX), [*(e.ids for e in self.tables[kind].entries), *self.real]
        )
        other = _OTHER[kind]
        shared = {e.number for group in overlapping(self.tables[other].entries) for e in group}
        for name in self._lacking(kind):
            entry = self.kept[other].get(name)
            if entry is not None and entry.number not in shared and space.take(entry.ids):
                self.new[kind][name] = entry.ids

    def _allocate(self) -> None:
        """New ranges, free in both tables, for who still lacks one in either."""
        lacking = {kind: self._lacking(kind) for kind in KINDS}
        users = {name: self.people.selected[name] or 0 for kind in KINDS for name in lacking[kind]}
        low = self.request.start or max(self.defs["SUB_UID_MIN"], self.defs["SUB_GID_MIN"])
        high = min(self.defs["SUB_UID_MAX"], self.defs["SUB_GID_MAX"], ID_MAX)
        taken = [entry.ids for table in self.tables.values() for entry in table.entries]
        # what was copied is among it: it is the other table's
        space = Space(low, high, [*taken, *self.real])
        # who had a range gets it back: files belong to its ids
        given = {
            name: self.had[name]
            for name in users
            if name in self.had and space.take(self.had[name])
        }
        others = {name: uid for name, uid in users.items() if name not in given}
        slots = Slots(low, high, self.request.count, self.defs["UID_MIN"])
        given |= slots.allocate(others, space)
        if len(given) < len(users):
            raise self._no_room(low, high, users, given)
        for kind in KINDS:
            self.new[kind].update((name, given[name]) for name in lacking[kind])

    def _no_room(
        self, low: int, high: int, users: Mapping[str, int], given: Mapping[str, IdRange]
    ) -> CesError:
        left_out = [name for name in users if name not in given]
        return CesError(
            f"give {len(users)} users {self.request.count} subordinate ids each",
            said=f"there is room for {len(given)} more between {low} and {high}, and nothing was "
            f"written. Left over: {listed(left_out)}",
            hint=f"raise SUB_UID_MAX and SUB_GID_MAX in {self.defs.origin} (at most {ID_MAX}), or "
            "ask for a lower start or count",
        )

    def _too_small(self) -> tuple[str, ...]:
        return tuple(
            capped(
                [
                    f"{name} had fewer than {self.request.count} subordinate {kind}s in one range "
                    f"({listed([str(e.ids) for e in self.mine[kind][name]])}). These were kept, "
                    f"and {self.new[kind][name]} added"
                    for kind in KINDS
                    for name in self.new[kind]
                    if self.mine[kind][name]
                ]
            )
        )
