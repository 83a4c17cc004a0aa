# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look gave, and which of several counts."""

from __future__ import annotations

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import InvalidValue
from ansible_collections.tre.ces.plugins.module_utils.ces.values.finding import (
    LEVELS,
    Finding,
    worst,
)


def test_the_gravest_counts() -> None:
    findings = [Finding("a", level, "said") for level in ("ok", "warning", "note")]
    assert worst(findings) == "warning"
    assert worst([*findings, Finding("b", "fault", "said")]) == "fault"
    assert worst([]) == "ok"
    assert worst(Finding("a", level, "") for level in LEVELS) == LEVELS[-1]


def test_a_finding_is_a_sentence_with_its_cure() -> None:
    assert str(Finding("a", "fault", "it is full.", "free some space")) == (
        "it is full. free some space"
    )
    assert str(Finding("a", "ok", "it is not full")) == "it is not full"


def test_a_finding_is_data() -> None:
    finding = Finding("a", "fault", "said", "cure", "podman")
    assert Finding(**finding.as_dict()) == finding


def test_there_are_no_other_levels() -> None:
    with pytest.raises(InvalidValue, match="none of ok, note, warning, fault"):
        Finding("a", "error", "said")
