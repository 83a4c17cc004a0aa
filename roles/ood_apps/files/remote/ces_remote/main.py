# SPDX-License-Identifier: GPL-3.0-or-later
"""Which command is it? The portal calls CLUSTER/sbatch and so on, people call ces-remote."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from ces.errors import CesError
from ces.shown import shown

USAGE = """usage: ces-remote check [CLUSTER...]     does the way to a back-end work for you?
       ces-remote fetch [CLUSTER...]     bring now what ended jobs have written
"""


def main(argv: list[str]) -> int:
    """Do what this program was called as."""
    os.umask(0o077)
    directory, name = os.path.split(argv[0])
    try:
        if name in ("ces-remote", "launcher"):
            return _own(argv[1:])
        return _slurm(os.path.basename(directory), name, argv[1:])
    except CesError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # no ssh here, no room in the home
        said = f"{name}: {error.filename or error.strerror}: {error.strerror}"
        print(shown(said), file=sys.stderr)
        return 1


def _slurm(cluster: str, name: str, words: list[str]) -> int:
    from .site import read_site

    site = read_site(cluster)
    if name == "sbatch":
        from .submit import sbatch

        return sbatch(site, words)
    from . import follow

    known = {"squeue": follow.squeue, "scancel": follow.scancel}
    if name in known:
        return known[name](site, words)
    # of what the portal passes on this alone reads: a token
    stdin = sys.stdin.buffer.read() if name == "ces-check" else b""
    return follow.passed_on(site, [name, *words], stdin)


def _own(words: list[str]) -> int:
    from . import check, follow
    from .site import clusters, read_site, settings_of

    def each(do: Callable[..., int]) -> int:
        return max([do(read_site(name)) for name in words[1:] or clusters()], default=0)

    verbs: dict[str, Callable[[], int]] = {
        "check": lambda: check.check(words[1:]),
        "fetch": lambda: each(follow.sweep),
        # what follows is not for people
        "sweep": lambda: each(follow.sweep),
        "finish": lambda: follow.finish(read_site(words[1]), words[2]),
        "settings": lambda: settings_of(words[1]),
    }
    if words and words[0] in verbs:
        return verbs[words[0]]()
    asked = words in (["-h"], ["--help"])
    print(USAGE, end="", file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2
