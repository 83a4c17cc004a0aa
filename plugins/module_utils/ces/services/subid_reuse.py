# SPDX-License-Identifier: GPL-3.0-or-later
"""Subordinate ids that were somebody else's: ``userdel`` frees a range, ``useradd`` hands it on."""

from __future__ import annotations

from ..errors import CesError
from ..system.subids import KINDS, SubidHost
from ..typed import Mapping, Sequence
from ..values.subid_history import Former, History
from ..values.subid_owners import Owners
from ..values.subid_report import capped
from ..values.subids import Entry, SubidTable, line_of
from .subid_people import People

Tables = Mapping[str, SubidTable]
"""The two tables, by kind."""


def entries_of(table: SubidTable, people: People, owners: Owners) -> dict[str, list[Entry]]:
    """Each selected user's lines, whether keyed by name or by uid."""
    lines = table.by_owner()
    return {
        name: [entry for key in owners.keys(name, uid) for entry in lines.get(key, ())]
        for name, uid in people.selected.items()
    }


def handed_on(
    history: History, people: People, owners: Owners, tables: Tables, host: SubidHost
) -> dict[str, list[Former]]:
    """Lines of the users whose ids were others', who have no line for them any more, by kind."""
    return {
        kind: host.handed_on(history, kind, tables[kind], entries_of(tables[kind], people, owners))
        for kind in KINDS
    }


def settled(
    former: Mapping[str, Sequence[Former]], becomes: str, tables: Tables, host: SubidHost
) -> tuple[Tables, tuple[str, ...]]:
    """The tables after it, and what was done.

    :raises CesError: that is to be refused.
    """
    found = [one for kind in KINDS for one in former[kind]]
    if not found or becomes == "give":
        return tables, ()
    said = capped(
        list(
            dict.fromkeys(
                f"{one.user} has the ids {one.entry.ids}, which were {one.owner}'s" for one in found
            )
        )
    )
    if becomes == "refuse":
        raise CesError(
            f"use subordinate ids that were others' ({host.path('uid')}, {host.path('gid')})",
            said=f"{'; '.join(said)}. Files that containers left outside of the storage may belong"
            " to these ids, and whoever has them can change such files",
            hint="say what becomes of it (ces_reused_uids; reused of tre.ces.subid): keep_apart"
            " gives new ids, give leaves them where they are",
        )

    def instead(one: Former) -> str | None:
        """Who is still here gets the ids back; else nobody gets them.

        shadow-utils give the ids of a line that is commented out to nobody.
        """
        gone = host.names.user(one.owner) is None
        return line_of(f"#{one.owner}", one.entry.ids) if gone else None

    edited = {
        kind: tables[kind].edited({one.entry.number: instead(one) for one in former[kind]})
        for kind in KINDS
    }
    return edited, tuple(f"{sentence}: new ones are given" for sentence in said)


def noted(history: History, people: People, owners: Owners, tables: Tables) -> History:
    """What is known now: whose ids are whose."""
    for kind in KINDS:
        mine = entries_of(tables[kind], people, owners)
        ranges = {name: [one.ids for one in lines if one.usable] for name, lines in mine.items()}
        history = history.noting(kind, ranges)
    return history
