# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of checks share: a table of looks, on facts that are values."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.look import Look, findings_of
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import Finding
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import Policy

POLICY = Policy(runners=("podman", "apptainer", "oci"))


def told(looks: Sequence[Look], facts: object, policy: Policy = POLICY) -> list[Finding]:
    """All that is not well."""
    return [one for one in findings_of(looks, facts, policy) if one.level != "ok"]


def only(
    looks: Sequence[Look], facts: object, check: str, level: str, part: str, policy: Policy = POLICY
) -> Finding:
    """The one thing that is told: no other row takes offence, and somebody can mend it."""
    found = told(looks, facts, policy)
    assert [(one.check, one.level) for one in found] == [(check, level)], found
    assert part in str(found[0])
    assert found[0].cure or found[0].level == "note"
    return found[0]
