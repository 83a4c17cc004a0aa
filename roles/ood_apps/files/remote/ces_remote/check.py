# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-remote check``: does the way to the back-end work for this user, and if not, what to do."""

from __future__ import annotations

import time

from ces.errors import CesError
from ces.shown import shown

from .site import Site, clusters, home, read_site
from .ssh import BackEnd

_GIB = 1 << 30


def check(names: list[str]) -> int:
    """Check these back-ends, or all that there are; 0 if all work."""
    names = names or clusters()
    if not names:
        print("there is no back-end with home directories of its own here")
    return max([one(read_site(name)) for name in names], default=0)


def one(site: Site) -> int:
    """Check one; a line for each finding."""

    def say(line: str) -> None:
        print(shown(f"{site.cluster}: {line}"))

    begin = time.monotonic()
    back_end = BackEnd(site)
    try:
        found = back_end.ask("look")
    except CesError as error:
        say(f"FAILED: {error}")
        return 1
    first = time.monotonic()
    back_end.ask("look")
    again = time.monotonic() - first
    say(f"logged in to {site.host} ({found['host']}) in {first - begin:.2f} s,")
    say(f"and over the same connection in {again:.2f} s")
    where = "" if found["base"] == home() else f", which stands for {home()}"
    say(f"{found['base']}{where} has {found['free'] / _GIB:.1f} GiB free")
    wrong = []
    if not found["writable"]:
        wrong.append(f"you cannot write into {found['base']} there: tell your administrator")
    for command in ("sbatch", "slurm"):
        said = found[command]
        if said["rc"] != 0:
            wrong.append(f"Slurm does not work there: {(said['err'] or said['out']).strip()}")
    if not wrong:
        say(f"{found['sbatch']['out'].strip()} there answers: all is well")
    for line in wrong:
        say(f"FAILED: {line}")
    return 1 if wrong else 0
