# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a user have the subordinate ids that podman needs? No I/O."""

from __future__ import annotations

from ..system.host.idmap import IdMap, Ids
from ..typed import Callable, Iterator
from ..values.policy import Policy
from ..values.subids import overlapping
from .look import Look, Told, engines_with

ENOUGH = 65536
"""Ids that images expect: their files may belong to any id of 16 bits."""
_APPLY = "the administrator applies the role subid for {}"
_MIGRATE = "stop your containers, then run: podman system migrate"


def _each(
    of_kind: Callable[[IdMap, str, Ids], Iterator[Told]],
) -> Callable[[IdMap, Policy], Iterator[Told]]:
    """The same of both kinds of ids, where an engine of the site uses them, and the user too."""

    def tell(found: IdMap, policy: Policy) -> Iterator[Told]:
        needed = found.uid != 0 and found.source == "files"
        if not needed or not engines_with("subordinate_ids", policy):
            return
        for kind, ids in found.ids.items():
            yield from of_kind(found, kind, ids)

    return tell


def tell_source(found: IdMap, policy: Policy) -> Iterator[Told]:
    """Whether the files say who has which ids."""
    if found.source != "files":
        yield Told(
            "note",
            f"/etc/nsswitch.conf has subordinate ids come from {found.source}: /etc/subuid and"
            " /etc/subgid are not looked at",
        )


def tell_given(found: IdMap, kind: str, ids: Ids) -> Iterator[Told]:
    """Whether there are any."""
    if not ids.own:
        yield Told(
            "fault",
            f"{found.user} has no range in /etc/sub{kind}: podman cannot unpack images whose files"
            " belong to several users",
            _APPLY.format(found.user),
            "subid",
        )


def tell_enough(found: IdMap, kind: str, ids: Ids) -> Iterator[Told]:
    """Whether they are as many as images expect."""
    count = sum(entry.ids.count for entry in ids.own)
    if ids.own and count < ENOUGH:
        yield Told(
            "warning",
            f"{found.user} has {count} ids in /etc/sub{kind}: podman cannot unpack an image with"
            f" files of an id above {count}",
            _APPLY.format(found.user),
            "subid",
        )


def tell_own(found: IdMap, kind: str, ids: Ids) -> Iterator[Told]:
    """Whether the user's own id is among them."""
    for entry in ids.own:
        if entry.ids.start <= found.own_id(kind) <= entry.ids.last:
            yield Told(
                "fault",
                f"/etc/sub{kind}, line {entry.number}: the range {entry.ids} holds"
                f" {found.user}'s own {kind} {found.own_id(kind)}: podman does not start",
                f"the administrator removes the line and applies the role subid for {found.user}",
                "subid",
            )


def tell_twice(found: IdMap, kind: str, ids: Ids) -> Iterator[Told]:
    """Whether lines of the user, by name and by number, give the same ids twice."""
    for group in overlapping(ids.own):
        lines = ", ".join(f"{entry.number} ({entry.owner})" for entry in group)
        yield Told(
            "fault",
            f"/etc/sub{kind} gives {found.user} the same ids in the lines {lines}: podman does not"
            " start",
            f"the administrator removes all but one, or applies the role subid for {found.user},"
            " which joins them",
            "subid",
        )


def tell_shared(found: IdMap, kind: str, ids: Ids) -> Iterator[Told]:
    """Whether somebody else has some of them, too."""
    if ids.shared:
        others = ", ".join(f"{entry.owner} (line {entry.number})" for entry in ids.shared[:5])
        yield Told(
            "warning",
            f"/etc/sub{kind} gives ids of {found.user} to {others}, too: the containers of one can"
            " read and change files of the other's",
            "the administrator removes one of the lines and applies the role subid for its user",
            "subid",
        )


def tell_real(found: IdMap, kind: str, ids: Ids) -> Iterator[Told]:
    """Whether accounts have some of them."""
    real = {n: name for n, name in (ids.real or {}).items() if n != found.own_id(kind)}
    if real:
        names = ", ".join(f"{name} ({number})" for number, name in sorted(real.items())[:5])
        what = "accounts" if kind == "uid" else "groups"
        yield Told(
            "warning",
            f"the range of {found.user} in /etc/sub{kind} holds ids of the {what} {names}:"
            " containers can act as them",
            f"the administrator removes the line and applies the role subid for {found.user}",
            "subid",
        )


def tell_lines(found: IdMap, kind: str, ids: Ids) -> Iterator[Told]:
    """Whether everybody can read the whole table."""
    if ids.unclear:
        numbers = ", ".join(map(str, ids.unclear[:5]))
        yield Told(
            "warning",
            f"/etc/sub{kind} has lines that are not NAME:START:COUNT ({numbers}): newer programs"
            " refuse the whole file",
            "the administrator corrects or removes them",
            "subid",
        )


def tell_in_use(found: IdMap, kind: str, ids: Ids) -> Iterator[Told]:
    """Whether podman works with what the table says now."""
    if ids.in_use is not None and ids.in_use != tuple(sorted(entry.ids for entry in ids.own)):
        used = ", ".join(map(str, ids.in_use)) or "none"
        yield Told(
            "warning",
            f"podman works with other {kind}s ({used}) than /etc/sub{kind} gives {found.user} now:"
            " it began before they were changed",
            _MIGRATE,
        )


LOOKS = (
    Look("subid_source", "files give subordinate ids away", tell_source),
    Look("subid_given", "the user has subordinate ids", _each(tell_given)),
    Look("subid_enough", "the user has enough of them", _each(tell_enough)),
    Look("subid_own", "the user's own ids are not among them", _each(tell_own)),
    Look("subid_twice", "the user has each of them once", _each(tell_twice)),
    Look("subid_shared", "nobody else has them", _each(tell_shared)),
    Look("subid_accounts", "no account has them", _each(tell_real)),
    Look("subid_lines", "every program can read /etc/subuid and /etc/subgid", _each(tell_lines)),
    Look("subid_in_use", "podman works with them", _each(tell_in_use)),
)
"""In the order in which causes come before their effects. A new check is a new row."""
