# SPDX-License-Identifier: GPL-3.0-or-later
"""Time commands on the host it runs on, in turns: all see the same weather, in every order.

Standard input: JSON ``{"repeats": N, "commands": {NAME: [WORD, ...]}}``. Standard output:
JSON ``{NAME: [SECONDS, ...]}``. A command that fails ends the measurement: a time of a failure is
no time.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from typing import Any


def main() -> None:
    job: dict[str, Any] = json.load(sys.stdin)
    times: dict[str, list[float]] = {name: [] for name in job["commands"]}
    shuffled = random.Random(0)  # noqa: S311  # an order, no secret
    for turn in range(job["repeats"] + 1):
        for name, command in shuffled.sample(sorted(job["commands"].items()), len(times)):
            seconds = timed(name, command)
            if turn > 0:  # the first turn warms what the others find warm
                times[name].append(seconds)
    json.dump(times, sys.stdout)


def timed(name: str, argv: list[str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        sys.exit(f"{name}: {argv} exited with {done.returncode}: {done.stderr}")
    return seconds


if __name__ == "__main__":
    main()
