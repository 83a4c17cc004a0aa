# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments in records and listings have one form."""

from __future__ import annotations

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import (
    utc_form,
    utc_now,
    utc_second,
)


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00+00:00", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00.5+02:00", "2026-01-31T10:00:00Z"),
        ("2026-01-31T23:30:00-01:30", "2026-02-01T01:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("", ""),
        ("2 days ago", "2 days ago"),
    ],
)
def test_what_engines_write_gets_the_form_of_listings(written: str, form: str) -> None:
    assert utc_form(written) == form


def test_a_second_since_the_epoch_has_that_form_and_records_agree_with_it() -> None:
    assert utc_second(1769860800.9) == "2026-01-31T12:00:00Z"
    assert utc_form(utc_now()).endswith("Z")
