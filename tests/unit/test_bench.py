# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the benchmark: when one has missed its target, and when nobody can say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[1] / "bench/rows.py"
QUIET = [1.0, 1.01, 1.02, 0.99, 1.0]
NOISY = [1.0, 1.5, 0.7, 2.0, 1.1]
NAME = "ces-run oci / podman run"


@pytest.fixture(scope="module")
def rows() -> Any:
    spec = importlib.util.spec_from_file_location("bench_rows", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # its dataclass looks for its own module
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "bench_rows", module)
        spec.loader.exec_module(module)
    return module


def slower(times: list[float], factor: float) -> list[float]:
    return [value * factor for value in times]


def test_a_row_says_how_often_it_was_measured_and_how_much_that_is_worth(rows: Any) -> None:
    row = rows.row(NAME, slower(QUIET, 0.2), QUIET)
    assert (row.ratio, row.target, row.missed, row.repeats) == (0.2, 0.28, False, 5)
    assert row.spread == pytest.approx(0.005, abs=0.001)
    assert rows.row(NAME, QUIET, NOISY).spread == pytest.approx(0.227, abs=0.001)
    assert rows.row("another", QUIET, QUIET).target is None


@pytest.mark.parametrize(
    ("first", "later", "measured", "missed", "busy"),
    [
        (slower(QUIET, 0.2), None, 1, False, False),
        (slower(NOISY, 0.2), None, 1, False, False),  # one that is met is met
        (QUIET, None, 1, True, False),
        (NOISY, QUIET, 2, True, False),
        (NOISY, slower(QUIET, 0.2), 2, False, False),
        (NOISY, NOISY, 4, True, True),
    ],
)
def test_a_row_that_misses_is_measured_again_while_the_machine_is_busy(
    rows: Any,
    first: list[float],
    later: list[float] | None,
    measured: int,
    missed: bool,
    busy: bool,
) -> None:
    rounds = []

    def again() -> tuple[list[float] | None, list[float]]:
        rounds.append(later)
        return later, QUIET

    row = rows.settled(NAME, (first, QUIET), again)
    assert (len(rounds) + 1, row.missed, row.busy) == (measured, missed, busy)
    assert row.repeats == 5 * measured
    assert row.as_dict()["busy"] is busy
    verdict = "the machine is too busy" if busy else "MISSED" if missed else "<= 0.28"
    assert verdict in rows.table([row])
