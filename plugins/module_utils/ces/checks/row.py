# SPDX-License-Identifier: GPL-3.0-or-later
"""A table's rows: what each looks at, and what it tells."""

from __future__ import annotations

from ..dataclass import dataclass
from ..typed import Callable, Iterator, Sequence
from ..values.finding import Finding
from .facts import Engine, Host, Image

MAKER = "ask its maker"
"""Who mends an image."""


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
class Row:
    """A check.

    :param fine: what holds where it has nothing to tell.
    :param needs: what must be known for it: nothing, ``manifest`` or ``config``.
    """

    name: str
    fine: str
    look: Callable[[Image, Host, Engine], Iterator[Told]]
    needs: str = ""


def findings(name: str, fine: str, told: Sequence[Told]) -> list[Finding]:
    """What a row told, under its name; where that is nothing, that all is fine."""
    told = told or [Told("ok", fine)]
    return [Finding(name, one.level, one.said, one.cure, one.role) for one in told]


def is_fetched(image: Image, engine: Engine) -> bool:
    """Whether a pull transfers the image: the engine does not have it."""
    return image.manifest is not None and engine.here != image.manifest.digest
