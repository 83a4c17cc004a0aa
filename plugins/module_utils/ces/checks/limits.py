# SPDX-License-Identifier: GPL-3.0-or-later
"""What it means where containers cannot be limited. No I/O."""

from __future__ import annotations

from ..typed import Sequence
from ..values.policy import Policy
from .look import Told


def promised(policy: Policy) -> list[str]:
    """The controllers by which the policy limits each container."""
    kinds = (("cpu", policy.cpus), ("memory", policy.memory))
    return [name for name, one in kinds if one.default is not None or one.maximum is not None]


def not_enforced(
    missing: Sequence[str], why: str, policy: Policy, cure: str, role: str = ""
) -> Told:
    """What is told of controllers of cgroups that containers do not have."""
    level, said = "warning", f"limits on {', '.join(missing)} are not enforced: {why}"
    if policy.limits == "required":
        level, said = "fault", f"{said}. The site requires them"
        if {*missing} & {*promised(policy)}:
            said = f"{said}, so no run starts"
    return Told(level, said, cure, role)
