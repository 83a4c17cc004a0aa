# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the table: ours beside a peer's, in turns, and what the measurement is worth."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

QUIET = 0.1
"""The largest spread of a measurement that a target is missed by."""
ROUNDS = 4
"""How often a row that misses its target is measured before the machine is called busy."""

Times = dict[str, list[float]]
TARGETS = {
    "ces-run / podman run": 0.95,
    "ces-run / podman run with its limits": 1.08,
    "ces-run oci / podman run": 0.28,
    "ces-run oci / crun run": 3.0,
    "ces-run apptainer / apptainer run": 1.08,
    "repeat ces-pull / podman pull": 0.8,
    "repeat ces-pull apptainer / apptainer pull --force (64 MB)": 0.1,
    "cold ces-pull apptainer / apptainer pull": 0.25,
    "CPU of cold ces-pull apptainer / apptainer pull": 0.15,
    "MB of cold ces-pull apptainer / apptainer pull": 0.25,
    "MB of an image file / of apptainer's own": 1.05,
    "cold ces-pull oci / podman pull": 0.65,
    "cold ces-pull podman / podman pull": 1.0,
    "ces-check / skopeo inspect": 2.0,
    "ces-doctor / podman info": 3.0,
    "200 ces-run oci / podman run, four at once": 0.22,
    "MB of ces-run podman beside a container / before": 0.75,
    "MB of ces-run oci beside a container / before": 0.75,
    "ces_run / podman_container": 0.5,
    "ces_run with scheduler: slurm / sbatch --wait": 1.15,
    "verify of 20 users / podman run of each": 1.3,
    "first backend.yml / before": 0.7,
    "unchanged backend.yml / before": 0.4,
    "modules started by an unchanged backend.yml / before": 0.4,
    "unchanged storage and podman / linux-system-roles.podman": 0.6,
    "unchanged backend.yml on eight hosts / on one, eight times": 0.5,
}
"""The largest ratio that we are content with, by a row's name; others show how a cost grows."""


@dataclass(frozen=True)
class Row:
    """One comparison.

    :param ours: a median in seconds (or what the name says); ``peer`` likewise.
    :param repeats: how many turns it was measured in, all rounds together.
    :param spread: half the range between the quartiles, beside the median; of ours or the peer's,
        whichever is larger.
    """

    name: str
    ours: float
    peer: float
    ratio: float
    target: float | None
    repeats: int
    spread: float

    @property
    def missed(self) -> bool:
        return self.target is not None and self.ratio > self.target

    @property
    def busy(self) -> bool:
        """Whether the machine was too busy to say that the target is missed."""
        return self.missed and self.spread > QUIET

    def as_dict(self) -> dict[str, Any]:
        """For ``bench.json``."""
        return {**asdict(self), "busy": self.busy}


def row(name: str, ours: list[float], peer: list[float]) -> Row:
    mine, other = statistics.median(ours), statistics.median(peer)
    return Row(
        name,
        round(mine, 4),
        round(other, 4),
        round(mine / other, 3),
        TARGETS.get(name),
        len(ours),
        round(max(spread(ours), spread(peer)), 3),
    )


def settled(
    name: str,
    first: tuple[list[float], list[float]],
    again: Callable[[], tuple[list[float], list[float]]],
) -> Row:
    """A row that is measured again while it misses its target in a noisy measurement.

    The quietest round counts.
    """
    best = row(name, *first)
    repeats = best.repeats
    for _round in range(ROUNDS - 1):
        if not best.busy:
            break
        other = row(name, *again())
        repeats += other.repeats
        best = min(best, other, key=lambda found: found.spread)
    return replace(best, repeats=repeats)


def spread(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle


def table(rows: list[Row]) -> str:
    """The rows for people."""
    width = max(len(found.name) for found in rows)
    head = f"{'ours / peer':<{width}}  {'ours':>8}  {'peer':>8}  {'ratio':>7}"
    lines = [f"{head}  {'repeats':>7}  {'spread':>6}  target"]
    for found in rows:
        verdict = "" if found.target is None else f"<= {found.target:g}"
        if found.missed:
            verdict += "  MISSED" if not found.busy else "  the machine is too busy to say"
        figures = f"{found.ours:8.3f}  {found.peer:8.3f}  {found.ratio:7.3f}"
        worth = f"{found.repeats:7}  {found.spread:6.0%}"
        lines.append(f"{found.name:<{width}}  {figures}  {worth}  {verdict}")
    return "\n".join(lines)
