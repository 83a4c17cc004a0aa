# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing that was to be proved of a back-end, and what came of it."""

from __future__ import annotations

from ..dataclass import dataclass
from ..typed import Any, Iterable, Mapping
from .finding import Finding

OUTCOMES: Mapping[str, str] = {
    "ok": "proved",
    "note": "not proved",
    "warning": "not proved",
    "fault": "failed",
}
"""By a finding's level: what was not seen to hold is not proved, whatever the reason."""


@dataclass(frozen=True)
class Proof:
    """What was found, and of what.

    :param user: whose container it was; '' where it concerns no one user. Likewise ``engine``.
    :param place: the partition or node of a job, the image of a pull, or a portal's cluster;
        '' for the host itself.
    """

    finding: Finding
    user: str = ""
    engine: str = ""
    place: str = ""

    @property
    def outcome(self) -> str:
        """``proved``, ``not proved`` or ``failed``."""
        return OUTCOMES[self.finding.level]

    def as_dict(self) -> dict[str, Any]:
        """For results: flat, with ``what`` for the row's name."""
        found = self.finding
        return {
            "what": found.check,
            "outcome": self.outcome,
            "user": self.user,
            "engine": self.engine,
            "place": self.place,
            "said": found.said,
            "cure": found.cure,
            "role": found.role,
        }


def counted(proofs: Iterable[Proof]) -> dict[str, int]:
    """How many have each outcome."""
    counts = dict.fromkeys(OUTCOMES.values(), 0)
    for proof in proofs:
        counts[proof.outcome] += 1
    return counts
