# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container may use of the machine."""

from __future__ import annotations

from ..dataclass import dataclass
from ..errors import RefusedByPolicy
from .quantities import spell_bytes


@dataclass(frozen=True)
class Resources:
    """CPUs (a number, fractions allowed), memory (bytes) and whether GPUs are wanted.

    None means no limit.
    """

    cpus: float | None = None
    memory: int | None = None
    gpu: bool = False

    @property
    def limited(self) -> bool:
        """Whether anything has to be enforced by cgroups."""
        return self.cpus is not None or self.memory is not None


@dataclass(frozen=True)
class Limits:
    """A site's default and largest amount of one resource."""

    default: float | None = None
    maximum: float | None = None

    def settle(self, wanted: float | None, what: str) -> float | None:
        """What a run gets: the amount wanted, else the default, never more than the maximum."""
        if wanted is None:
            # a default above the maximum is the site's slip: the maximum is what it means
            amounts = [amount for amount in (self.default, self.maximum) if amount is not None]
            return min(amounts, default=None)
        if self.maximum is not None and wanted > self.maximum:
            raise RefusedByPolicy(
                f"give the container {_spelled(wanted, what)} of {what}",
                said=f"this site allows at most {_spelled(self.maximum, what)}",
                hint="ask for less, or ask the administrator to raise the limit in policy.json",
            )
        return wanted


def _spelled(amount: float, what: str) -> str:
    return spell_bytes(int(amount)) if what == "memory" else f"{amount:g}"
