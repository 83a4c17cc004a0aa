# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-remote check``: does the way to the back-end work for this user, and if not, what to do."""

from __future__ import annotations

import time

from ces.errors import CesError

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
    begin = time.monotonic()
    back_end = BackEnd(site)
    try:
        found = back_end.ask("look")
    except CesError as error:
        print(f"{site.cluster}: FAILED: {error}")
        return 1
    first = time.monotonic()
    back_end.ask("look")
    again = time.monotonic() - first
    print(f"{site.cluster}: logged in to {site.host} ({found['host']}) in {first - begin:.2f} s,")
    print(f"{site.cluster}: and over the same connection in {again:.2f} s")
    where = "" if found["base"] == home() else f", which stands for {home()}"
    print(f"{site.cluster}: {found['base']}{where} has {found['free'] / _GIB:.1f} GiB free")
    wrong = []
    if not found["writable"]:
        wrong.append(f"you cannot write into {found['base']} there: tell your administrator")
    for command in ("sbatch", "slurm"):
        said = found[command]
        if said["rc"] != 0:
            wrong.append(f"Slurm does not work there: {(said['err'] or said['out']).strip()}")
    if not wrong:
        print(f"{site.cluster}: {found['sbatch']['out'].strip()} there answers: all is well")
    for line in wrong:
        print(f"{site.cluster}: FAILED: {line}")
    return 1 if wrong else 0
