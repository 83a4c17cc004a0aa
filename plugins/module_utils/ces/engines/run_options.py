# SPDX-License-Identifier: GPL-3.0-or-later
"""Options by which podman, docker and engines like them say what a run has words of its own for."""

from __future__ import annotations

from ..values.options import Option

OF_A_RUN = (
    Option("--network", meaning="network"),
    Option("--net", meaning="network"),
    Option("--name", meaning="name"),
    Option("--timeout", meaning="timeout"),
    Option("--cpus", meaning="cpus"),
    Option("--memory", "-m", meaning="memory"),
    Option("--gpus", meaning="gpus"),
    Option("--device", meaning="device"),
)
"""They are read as the run's own."""
