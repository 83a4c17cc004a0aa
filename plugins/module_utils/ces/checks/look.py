# SPDX-License-Identifier: GPL-3.0-or-later
"""A row of a table of checks: what it looks at, and what it tells."""

from __future__ import annotations

from ..dataclass import dataclass
from ..engines.runner import Runner
from ..engines.table import known_runners
from ..typed import Any, Callable, Iterator, Mapping, Sequence
from ..values.finding import Finding
from ..values.policy import Policy
from .row import Told, findings


@dataclass(frozen=True)
class Look:
    """A check of a host or of its user.

    :param fine: what holds where it has nothing to tell.
    :param tell: from the facts of its table and the site's policy to what it tells.
    """

    name: str
    fine: str
    tell: Callable[[Any, Policy], Iterator[Told]]


def findings_of(looks: Sequence[Look], facts: object, policy: Policy) -> Iterator[Finding]:
    """What all rows of a table find, in its order. No I/O.

    A row that fails is a finding itself: the others still tell theirs.
    """
    for look in looks:
        try:
            told = list(look.tell(facts, policy))
        except Exception as error:  # facts that nobody foresaw must not hide the other rows
            told = [Told("warning", f"this check failed: {type(error).__name__}: {error}")]
        yield from findings(look.name, look.fine, told)


def engines_with(trait: str, policy: Policy) -> Mapping[str, Runner]:
    """The engines that the site allows and that have a trait (a field of ``Traits``), by name."""
    allowed = known_runners(policy.runners)
    return {name: one for name, one in allowed.items() if getattr(one.traits(), trait)}
