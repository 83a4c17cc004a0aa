# SPDX-License-Identifier: GPL-3.0-or-later
"""What one look at a host, a user or an image gave."""

from __future__ import annotations

from ..dataclass import asdict, dataclass
from ..errors import InvalidValue
from ..typed import Any, Iterable

LEVELS = ("ok", "note", "warning", "fault")
"""From nothing wrong to what keeps containers from running; the last one counts most."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    :param check: the check's name.
    :param level: one of ``LEVELS``.
    :param said: what was found, and what it breaks.
    :param cure: who mends it, and how; empty where there is nothing to mend.
    :param role: the Ansible role that mends it, if one does.
    :raises InvalidValue: there is no such level.
    """

    check: str
    level: str
    said: str
    cure: str = ""
    role: str = ""

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise InvalidValue("a level", self.level, f"it is none of {', '.join(LEVELS)}")

    def __str__(self) -> str:
        return f"{self.said.rstrip('.')}. {self.cure}" if self.cure else self.said

    def lines(self, roles: bool = False) -> list[str]:
        """For people: what was found, and below that what to do.

        :param roles: the role that mends it is for whoever reads it.
        """
        head = f"{self.level} ({self.check}): {self.said}"
        named = not self.role or f"role {self.role}" in self.cure
        role = "" if named or not roles else f" (role {self.role})"
        return [head, f"  to do: {self.cure}{role}"] if self.cure else [f"{head}{role}"]

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return asdict(self)


def worst(findings: Iterable[Finding]) -> str:
    """The gravest level among them; ``ok`` where there is none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default=LEVELS[0])
