# SPDX-License-Identifier: GPL-3.0-or-later
"""Time commands on the host it runs on, in turns: all see the same weather, in every order.

Standard input: JSON ``{"repeats": N, "commands": {NAME: [WORD, ...]}, "before": {NAME: [...]}}``.
``before``: what is run first and not timed. Standard output: JSON ``{NAME: [[SECONDS, CPU SECONDS,
MB], ...]}``; the last is the most that one of its processes held. A command that fails ends the
measurement: a time of a failure is no time.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from typing import Any


def main() -> None:
    job: dict[str, Any] = json.load(sys.stdin)
    before: dict[str, list[str]] = job.get("before", {})
    times: dict[str, list[tuple[float, ...]]] = {name: [] for name in job["commands"]}
    shuffled = random.Random(0)  # noqa: S311  # an order, no secret
    for turn in range(job["repeats"] + 1):
        for name, command in shuffled.sample(sorted(job["commands"].items()), len(times)):
            if name in before:
                subprocess.run(before[name], capture_output=True, check=True)
            cost = measured(name, command)
            if turn > 0:  # the first turn warms what the others find warm
                times[name].append(cost)
    json.dump(times, sys.stdout)


def measured(name: str, argv: list[str]) -> tuple[float, ...]:
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        started = subprocess.Popen(argv, stdin=-3, stdout=said, stderr=said)
        # it tells what this process and those that it waited for took
        _pid, status, used = os.wait4(started.pid, 0)
        seconds = time.perf_counter() - begun
        started.returncode = os.waitstatus_to_exitcode(status)
        if started.returncode != 0:
            said.seek(0)
            sys.exit(f"{name}: {argv} exited with {started.returncode}: {said.read().decode()}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
