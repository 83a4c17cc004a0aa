# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container that was run on trial was, by itself and from outside."""

from __future__ import annotations

from ..dataclass import dataclass

WORDS = "written by the container"
"""What such a container writes."""


@dataclass(frozen=True)
class Odd:
    """Something about it that is not as it should be, as its engine's own directory finds it.

    :param said: what, as a sentence about the container ("it ...").
    :param cure: what to do; '' for nothing in particular.
    :param role: the role that mends it; '' for the engine's own.
    """

    said: str
    cure: str = ""
    role: str = ""


@dataclass(frozen=True)
class Trial:
    """One container.

    :param uid: of the user who ran it.
    :param said: why it did not run, or ''.
    :param cure: what its engine's table knows about that.
    :param seconds: that it took, with all that was made for it.
    :param inside: the number that the user had in it; None if it did not tell.
    :param ids: how many ids it had.
    :param interfaces: of its network.
    :param written: what it wrote into a directory of the user's; ``owner``: whose that is.
    :param odd: what its engine adds.
    """

    uid: int
    said: str = ""
    cure: str = ""
    seconds: float = 0.0
    inside: int | None = None
    ids: int = 0
    interfaces: tuple[str, ...] = ()
    written: str = ""
    owner: int = -1
    odd: tuple[Odd, ...] = ()
