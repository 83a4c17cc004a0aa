# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a host for a role: rows of the same tables as the doctor's, by their names.

Before a role has changed anything, what it mends itself must not be held against the host, and its
users have nothing of their own yet. So the role names the rows, and whose things count.
"""

from __future__ import annotations

import os
import pwd

from ..checks.look import findings_of
from ..dataclass import dataclass, field, replace
from ..errors import InvalidValue, NotFound
from ..system.host.as_user import Looking, end_all
from ..system.host.people import account
from ..system.process import SystemProcess
from ..typed import Any, Iterator, Mapping, Sequence
from ..values.finding import Finding
from ..values.policy import Policy
from .doctor import CANARY, JOBS, SUBJECTS, Given, Subject, answered

GROUND = "ground"
"""The subject that roles alone look at, before they change anything."""
NAMES = (GROUND, *(one.name for one in (*SUBJECTS, CANARY, JOBS)))
_ORDINARY = "nobody"
"""Who looks at what is the same for all users."""


@dataclass(frozen=True)
class Asked:
    """What a role asks.

    :param role: its name, without the collection's.
    :param users: whose things are looked at, and as whom containers are run.
    :param subjects: what is looked at, of ``NAMES``.
    :param refuse: rows of which a fault refuses the host, and a warning is told.
    :param strict: rows of which a warning refuses it, too.
    :param tell: rows of which nothing refuses it.
    :param kept_out: why users cannot have containers on the host, by name.
    :param given: what the host does not say; ``storage_root`` is the directory below which the
        role keeps what users have, or ''.
    :param refused_file_systems: on which that must not lie; None for the common network ones.
    """

    role: str
    users: Sequence[str]
    subjects: Sequence[str]
    refuse: Sequence[str]
    strict: Sequence[str]
    tell: Sequence[str]
    given: Given
    refused_file_systems: Sequence[str] | None = None
    kept_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> frozenset[str]:
        """The names of all rows."""
        return frozenset((*self.refuse, *self.strict, *self.tell))

    def refuses(self, finding: Finding) -> bool:
        """Whether a finding keeps the role from going on."""
        if finding.check in self.strict:
            return finding.level in ("warning", "fault")
        return finding.check in self.refuse and finding.level == "fault"


def judge(asked: Asked) -> list[Finding]:
    """What the rows find that is not well, in the order of their tables.

    :raises InvalidValue: there is no row of one of the names.
    """
    wanted = [one for one in (*SUBJECTS, CANARY, JOBS) if one.name in asked.subjects]
    rows = {one: {row.name for row in one.parts()[0]} for one in wanted}
    there = {name for names in rows.values() for name in names}
    found = list(_of_ground(asked, there)) if GROUND in asked.subjects else []
    for name in sorted(asked.rows - there):
        raise InvalidValue("a check", name, f"none of {', '.join(asked.subjects)} has it")
    named = [subject for subject in wanted if rows[subject] & asked.rows]
    pairs = [(subject, user) for subject in named for user in _whom(subject, asked)]
    begun: list[Looking] = []
    try:
        for subject, user in pairs:
            begun.append(subject.begin(user, asked.rows, asked.given))
        for (subject, user), looking in zip(pairs, begun):
            found += _heard(subject, user, looking.answer(), asked)
    finally:
        end_all(begun)
    return [one for one in found if one.level != "ok"]


def _heard(
    subject: Subject, user: pwd.struct_passwd, answer: dict[str, Any], asked: Asked
) -> Iterator[Finding]:
    """The findings, with the user's name where they are one user's."""
    for one in answered(subject.name, answer):
        if one.check == subject.name:
            one = replace(one, check=_counts_as(subject, asked), said=f"{one.check} {one.said}")
        yield one if subject.alike else replace(one, said=f"{user.pw_name}: {one.said}")


def _of_ground(asked: Asked, there: set[str]) -> Iterator[Finding]:
    """Looked at by ourselves: it wants root.

    :param there: gets the names of its rows.
    """
    from ..checks.ground import LOOKS
    from ..checks.places import NETWORK
    from ..system.host.ground import look_at_ground

    there.update(row.name for row in LOOKS)
    process = SystemProcess() if "root_overlay" in asked.rows else None
    refused = NETWORK if asked.refused_file_systems is None else asked.refused_file_systems
    root = asked.given.storage_root
    facts = look_at_ground(asked.role, asked.users, root, refused, process, asked.kept_out)
    rows = [row for row in LOOKS if row.name in asked.rows]
    return findings_of(rows, facts, replace(Policy(), **asked.given.policy))


def _whom(subject: Subject, asked: Asked) -> list[pwd.struct_passwd]:
    """Those who look.

    :raises NotFound: one of the users has no account, and no row tells it.
    """
    if subject.alike:
        ordinary = account(_ORDINARY) if os.geteuid() == 0 else None
        return [ordinary or pwd.getpwuid(os.geteuid())]
    found = {name: account(name) for name in asked.users}
    for name, user in found.items():
        if user is None and GROUND not in asked.subjects:
            raise NotFound(f"look at {name}", said="there is no such account here")
    return [user for user in found.values() if user is not None]


def _counts_as(subject: Subject, asked: Asked) -> str:
    """The row for which it counts that a subject could not be looked at.

    What one user has keeps nobody else from a provisioned host: that is told. A container that did
    not run counts, and so does a host that cannot be looked at: as the gravest of the rows.
    """
    if subject.personal and subject.name not in (CANARY.name, JOBS.name):
        return subject.name
    rows = [row.name for row in subject.parts()[0] if row.name in asked.rows]
    return next((name for name in rows if name in (*asked.strict, *asked.refuse)), rows[0])
