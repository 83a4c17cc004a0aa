# SPDX-License-Identifier: GPL-3.0-or-later
"""Run two jobs on this node, as the user, that show what Slurm does for containers.

The first job runs in a bundle of the host's own shell, made as ces-bundle makes them, and shows a
word that is only in there: Slurm ignores ``--container`` silently where it has no oci.conf. The
second one shows what the programs around jobs did. Nothing stays.
"""

from __future__ import annotations

import os
import secrets

from ..checks.jobs import Job, Jobs
from ..errors import CesError
from ..system.account import Account
from ..system.host.small_root import SHELL
from ..system.process import Process, Streams
from ..typed import Sequence
from ..values.command import Command
from .host_shell import place_of_images
from .shell_bundle import WORD_FILE, make_shell_bundle

_SECONDS = 120.0
"""For a job; ``--immediate`` is sooner where the node is busy."""
_BUSY = ("Requested nodes are busy", "Requested partition configuration not available now")
_SAYS_WORD = f"""\
read -r word </{WORD_FILE}; echo "$word"
while read -r name uid more; do [ "$name" != Uid: ] || echo "$uid"; done </proc/self/status
"""
_SAYS_AROUND = """\
[ ! -w "$XDG_RUNTIME_DIR" ] || echo run-directory
[ ! -r "$CONTAINERS_CONF_OVERRIDE" ] || echo containers-conf
"""


def run_jobs(account: Account, process: Process, options: Sequence[str]) -> Jobs:
    """What came of them.

    :param options: more of them for srun.
    :raises CesError: there is no room for a bundle, or this host is no node of Slurm.
    """
    node, word = os.uname().nodename.partition(".")[0], secrets.token_hex(8)
    at = [f"--nodelist={node}", f"--partition={_partition_of(node, process)}", *options]
    with place_of_images(account, "doctor") as work:
        bundle = make_shell_bundle(f"{work}/bundle", word, account, process)
        inside = _job(process, [*at, f"--container={bundle}"], _SAYS_WORD)
    return Jobs(node, word, inside, _job(process, at, _SAYS_AROUND))


def _partition_of(node: str, process: Process) -> str:
    asked = Command(("sinfo", "--noheader", f"--nodes={node}", "--format=%R"), role="slurm")
    done = process.run(asked, Streams(timeout=60.0)).check("ask Slurm for its partitions")
    if not done.stdout.split():
        raise CesError(f"find a partition of {node}", said="it is in none (sinfo)")
    return done.stdout.split()[0]


def _job(process: Process, options: Sequence[str], script: str) -> Job:
    usual = ("--nodes=1", "--ntasks=1", "--mem=64", "--time=1", "--immediate=30", "--chdir=/")
    argv = ("srun", *usual, "--job-name=tre-ces-check", *options, SHELL, "-c", script)
    done = process.run(Command(argv, role="slurm"), Streams(timeout=_SECONDS))
    if done.stopped_by:
        return Job(said=f"it did not end within {_SECONDS:g} s")
    busy = any(reason in done.stderr for reason in _BUSY)
    return Job(tuple(done.stdout.split()), done.stderr.strip(), busy)
