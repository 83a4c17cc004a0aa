# SPDX-License-Identifier: GPL-3.0-or-later
"""A row of a table of checks: what it looks at, and what it tells."""

from __future__ import annotations

from ..dataclass import dataclass
from ..engines.runner import Runner
from ..engines.table import known_runners
from ..typed import Callable, Iterator, Mapping, Sequence
from ..values.finding import Finding
from ..values.policy import Policy


@dataclass(frozen=True)
class Told:
    """What a row tells.

    :param level: as in :class:`Finding`, likewise the rest.
    """

    level: str
    said: str
    cure: str = ""
    role: str = ""


@dataclass(frozen=True)
class Look:
    """A check of a host, of its user, or of an image.

    :param fine: what holds where it has nothing to tell.
    :param tell: from the facts of its table to what it tells. A host's row gets the facts of its
        subject and the site's policy; an image's row gets the image, the host and the engine.
    :param needs: what must be known of an image for it: nothing, ``manifest`` or ``config``.
    :param here: of an image's row, that it looks at this host: it tells nothing of another one.
    """

    name: str
    fine: str
    tell: Callable[..., Iterator[Told]]
    needs: str = ""
    here: bool = False


def findings_of(looks: Sequence[Look], *facts: object) -> Iterator[Finding]:
    """What all rows of a table find, in its order. No I/O.

    A row that fails is a finding itself: the others still tell theirs.
    """
    for look in looks:
        try:
            told = list(look.tell(*facts)) or [Told("ok", look.fine)]
        except Exception as error:  # facts that nobody foresaw must not hide the other rows
            told = [Told("warning", f"this check failed: {type(error).__name__}: {error}")]
        for one in told:
            yield Finding(look.name, one.level, one.said, one.cure, one.role)


def engines_with(trait: str, policy: Policy) -> Mapping[str, Runner]:
    """The engines that the site allows and that have a trait (a field of ``Traits``), by name."""
    allowed = known_runners(policy.runners)
    return {name: one for name, one in allowed.items() if getattr(one.traits(), trait)}
