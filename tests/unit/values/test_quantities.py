# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts that people write, and the limits a site sets on them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    InvalidValue,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.quantities import (
    cpu_count,
    duration_seconds,
    memory_bytes,
    spell_bytes,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.resources import Limits, Resources

MIB = 1024**2
GIB = 1024**3
DAY = 24 * 3600


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (None, None),
        (4, 4 * GIB),
        (0.5, GIB // 2),
        ("4", 4 * GIB),
        (" 4 ", 4 * GIB),
        ("4g", 4 * GIB),
        ("4G", 4 * GIB),
        ("4GB", 4 * GIB),
        ("4GiB", 4 * GIB),
        ("4 GiB", 4 * GIB),
        ("1.5gib", 3 * GIB // 2),
        ("512M", 512 * MIB),
        ("512MiB", 512 * MIB),
        ("8192k", 8 * MIB),
        ("4MiB", 4 * MIB),
        ("1t", 1024 * GIB),
    ],
)
def test_memory_is_in_gib_unless_a_unit_is_written(
    value: float | str | None, amount: int | None
) -> None:
    assert memory_bytes(value) == amount


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "x",
        "4x",
        "4 G B",
        "-4",
        "+4",
        "1e3",
        "nan",
        "inf",
        "0",
        0,
        "1M",
        "3.9MiB",
        "4.",
        ".5",
        "4GiB;id",
        "4\n5",
        "\u0664",
        True,
        False,
        "9" * 400,
        10.0**300,
        "1" + "0" * 5000,
    ],
)
def test_what_is_no_amount_of_memory_is_refused(value: bool | float | str) -> None:
    with pytest.raises(InvalidValue):
        memory_bytes(value)


@pytest.mark.parametrize(
    ("value", "count"),
    [(None, None), (2, 2), ("2", 2), ("0.5", 0.5), (1.5, 1.5), (" 3 ", 3)],
)
def test_cores_may_be_fractions(value: float | str | None, count: float | None) -> None:
    assert cpu_count(value) == count


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "0",
        0,
        "0.009",
        1e-9,
        "1e1",
        -1,
        "-1",
        "nan",
        "inf",
        "1,5",
        "1_0",
        "٣",
        "100000",
        10.0**9,
        True,
        False,
    ],
)
def test_what_is_no_number_of_cores_is_refused(value: bool | float | str) -> None:
    with pytest.raises(InvalidValue):
        cpu_count(value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (90, 90),
        (1.5, 1.5),
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1m30", 90),
        ("2d", 2 * DAY),
        ("1d2h3m4s", DAY + 2 * 3600 + 184),
        ("0h90s", 90),
        ("0.5", 0.5),
        (" 90s ", 90),
        ("01:00:00", 3600),
        ("100:00:01", 360001),
        ("1-00:00:00", DAY),
        ("1-12:30", DAY + 12 * 3600 + 1800),
    ],
)
def test_durations_are_seconds_units_or_what_slurm_writes(
    value: float | str | None, seconds: float | None
) -> None:
    assert duration_seconds(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "x", "-1", "+5", "1.5h", "5 m", "m", "s", "30m1h", "1h1h", "1e3", "nan", "inf"),
        *(
            "0",
            0,
            "0s",
            "0.0",
            0.0,
            "00:00:00",
            "\u0663s",
            True,
            False,
            "9" * 400,
            "9" * 5000 + "s",
        ),
        # minutes and seconds to Slurm, hours and minutes to others
        *("05:30", "5:1"),
    ],
)
def test_what_is_no_duration_is_refused(value: bool | float | str) -> None:
    with pytest.raises(InvalidValue):
        duration_seconds(value)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1KiB"),
        (512 * MIB, "512MiB"),
        (GIB * 3 // 2, "1.5GiB"),
        (4 * GIB, "4GiB"),
        (1024 * GIB, "1TiB"),
    ],
)
def test_bytes_are_spelled_for_people(count: int, text: str) -> None:
    assert spell_bytes(count) == text


@given(st.integers(4, 1023), st.sampled_from(["MiB", "GiB", "TiB"]))
def test_spelled_memory_means_the_same_when_read(number: int, unit: str) -> None:
    amount = memory_bytes(f"{number}{unit}")
    assert memory_bytes(spell_bytes(there(amount))) == amount


@given(st.text(max_size=12) | st.text("0123456789.:-hmsdGiB ", max_size=12) | st.floats())
def test_an_amount_is_refused_or_a_sensible_number(value: float | str) -> None:
    for read, least in ((memory_bytes, 4 * MIB), (cpu_count, 0), (duration_seconds, 0)):
        try:
            amount = there(read(value))
        except InvalidValue:
            continue
        assert least <= amount < 2**63
        assert amount > 0


# --- what a site sets ---


@pytest.mark.parametrize(
    ("limits", "wanted", "given_"),
    [
        (Limits(), None, None),
        (Limits(), 5, 5),
        (Limits(default=2), None, 2),
        (Limits(default=2), 5, 5),
        (Limits(maximum=4), None, 4),
        (Limits(maximum=4), 4, 4),
        (Limits(default=2, maximum=4), None, 2),
        (Limits(default=8, maximum=4), None, 4),
    ],
)
def test_a_run_gets_what_it_asks_for_else_the_default_and_never_more_than_the_maximum(
    limits: Limits, wanted: int | None, given_: int | None
) -> None:
    assert limits.settle(wanted, "cpus") == given_


@pytest.mark.parametrize(
    ("what", "maximum", "wanted", "said"),
    [
        ("memory", 4 * GIB, 8 * GIB, "8GiB of memory: this site allows at most 4GiB"),
        ("cpus", 1.5, 2.0, "2 of cpus: this site allows at most 1.5"),
    ],
)
def test_asking_for_more_than_the_maximum_is_refused_with_both_amounts(
    what: str, maximum: float, wanted: float, said: str
) -> None:
    with pytest.raises(RefusedByPolicy) as caught:
        Limits(maximum=maximum).settle(wanted, what)
    assert said in str(caught.value)


AMOUNT = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?\s*(?:|[kmgt](?:|b|ib))", re.I | re.ASCII)


@given(
    st.from_regex(AMOUNT, fullmatch=True) | st.text("0123456789.kMgTiB \t-+e\u0664", max_size=12)
)
def test_what_is_an_amount_of_memory_is_what_the_form_says(text: str) -> None:
    try:
        memory_bytes(text)
    except InvalidValue as error:
        understood = "it is no amount" not in str(error)
    else:
        understood = True
    assert understood is (AMOUNT.fullmatch(text.strip()) is not None)


@pytest.mark.parametrize(
    ("resources", "limited"),
    [
        (Resources(), False),
        (Resources(gpu=True), False),
        (Resources(cpus=1), True),
        (Resources(memory=1), True),
    ],
)
def test_only_cpus_and_memory_need_cgroups(resources: Resources, limited: bool) -> None:
    assert resources.limited is limited
