# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a table of subordinate ids that people wrote: said, never mended unasked."""

from __future__ import annotations

from ..typed import Mapping, Sequence
from .subid_owners import Owners
from .subids import Entry, SubidTable, containing, overlapping

_MOST = 20
"""Warnings of one sort, and names in one warning; a table may have thousands."""
_SHOWN = 5
_CHARACTERS = 60


def report(
    path: str, kind: str, table: SubidTable, real: Mapping[int, str], owners: Owners
) -> list[str]:
    """Warnings about a table.

    :param kind: ``uid`` or ``gid``.
    :param real: the ids of accounts (or groups) that exist, with their names.
    """
    unknown = [
        f"{path}: line {number} is not NAME:START:COUNT: {table.lines[number - 1][:_CHARACTERS]!r}"
        ". It was kept, but some programs refuse the whole file because of it: correct or remove it"
        for number in table.unknown
    ]
    overlaps = [_overlap(path, group, owners) for group in overlapping(table.in_force)]
    holes = [
        _hole(path, kind, entry, ids, real, owners)
        for entry, ids in containing(table.in_force, sorted(real))
    ]
    numbers = [
        said for entry in table.in_force if (said := _number(path, kind, entry, owners)) is not None
    ]
    return [*capped(unknown), *capped(overlaps), *capped(holes), *capped(numbers)]


def capped(warnings: Sequence[str]) -> list[str]:
    """The first of them, and how many more there are."""
    more = len(warnings) - _MOST
    return [*warnings[:_MOST], *([f"... and {more} more like the last one"] if more > 0 else [])]


def listed(names: Sequence[str], shown: int = _SHOWN) -> str:
    """Some names, and how many more there are."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def _overlap(path: str, group: Sequence[Entry], owners: Owners) -> str:
    entries = listed([f"{entry.owner} {entry.ids} (line {entry.number})" for entry in group])
    accounts = {owners.of(entry.owner) or entry.owner for entry in group}
    if len(accounts) == 1:
        return (
            f"{path}: one user has the same ids in several lines, so that podman does not start "
            f"for this user: {entries}. They were kept: remove all but one, or run this for the "
            "user, which joins them"
        )
    return (
        f"{path}: ranges overlap, so that containers can reach into one another: "
        f"{entries}. They were kept: remove the lines that should go, and run this again "
        "for their users"
    )


def _hole(
    path: str,
    kind: str,
    entry: Entry,
    inside: Sequence[int],
    real: Mapping[int, str],
    owners: Owners,
) -> str:
    account = owners.of(entry.owner)
    own = account and (account.uid if kind == "uid" else account.gid)
    harm = [
        *([f"podman does not start for {account.name}"] if account and own in inside else []),
        *([f"containers of {entry.owner} can act as them"] if set(inside) - {own} else []),
    ]
    return (
        f"{path}: the range {entry.ids} of {entry.owner} (line {entry.number}) contains real "
        f"{kind}s: {listed([f'{number} ({real[number]})' for number in inside])}. So "
        f"{', and '.join(harm)}. It was kept: remove the line, and run this again for its user"
    )


def _number(path: str, kind: str, entry: Entry, owners: Owners) -> str | None:
    """What is wrong with a line of a login that is somebody's uid."""
    account, intruder = owners.of(entry.owner), owners.intruder(entry.owner)
    if account is None or not entry.usable:
        return None
    line = f"{path}: line {entry.number} is for the login {entry.owner}"
    if owners.is_own_uid(entry.owner):
        return (
            f"{line}, which is its own uid: podman takes the line twice and does not start. "
            "Only another login cures that"
        )
    if intruder is None:
        return None
    if owners.key(kind, account.name) == entry.owner:
        cure = "Only another login cures that"
    else:
        cure = f"Run this for {entry.owner}: the line gets the uid {account.uid} instead"
    return f"{line}, which is the uid of {intruder.name}, who can map these ids too. {cure}"
