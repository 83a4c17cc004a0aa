# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove things with users' rights: each in a child of its own, as many at once as processors."""

from __future__ import annotations

import os
import pwd

from ..dataclass import dataclass
from ..system.host.as_user import MEMORY, Looking, end_all
from ..typed import Any, Callable, Iterable, Iterator
from ..values.finding import Finding
from ..values.proof import Proof
from .doctor import answered, enter, user_named

_MEMORY = 16 * MEMORY
"""Engines are written in Go: they reserve gigabytes, and use little."""
_LARGEST = 256 << 20


@dataclass(frozen=True)
class Errand:
    """One thing that a child proves with a user's rights.

    :param name: of the finding that says why there is no answer.
    :param user: the user's name; there is such an account.
    :param work: what the child does, as the user.
    :param seconds: after which the child is ended.
    :param largest: bytes of the largest file that it may write.
    """

    name: str
    user: str
    work: Callable[[], Iterator[Finding]]
    engine: str = ""
    place: str = ""
    seconds: float = 120.0
    largest: int = _LARGEST


def run_errands(errands: Iterable[Errand]) -> list[Proof]:
    """Run all of them. What fails, dies or hangs is a proof that failed; their order is kept.

    :raises CesError: we may not act as one of the users.
    """
    at_once = os.cpu_count() or 1
    begun: list[tuple[Errand, Looking]] = []
    every: list[Looking] = []
    proofs: list[Proof] = []

    def finish() -> None:
        errand, looking = begun.pop(0)
        for found in answered(errand.name, looking.answer()):
            proofs.append(Proof(found, errand.user, errand.engine, errand.place))

    try:
        for errand in errands:
            if len(begun) == at_once:
                finish()
            every.append(_begin(errand, user_named(errand.user)))
            begun.append((errand, every[-1]))
        while begun:
            finish()
    finally:
        end_all(every)
    return proofs


def _begin(errand: Errand, user: pwd.struct_passwd) -> Looking:
    other = os.geteuid() != user.pw_uid

    def look() -> dict[str, Any]:
        if other:
            enter(user)
        try:
            return {"findings": [one.as_dict() for one in errand.work()]}
        except Exception as error:  # whatever it is, the other errands are run
            return {"failed": f"{type(error).__name__}: {error}"}

    return Looking(user, look, errand.seconds, _MEMORY, errand.largest)
