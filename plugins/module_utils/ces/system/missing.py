# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that PATH does not lead to: is it on this host? Loaded where one is missing."""

from __future__ import annotations

import os

from ..errors import CesError
from ..typed import Sequence
from ..values.containers_conf import PATH

PLACES = (*PATH.split(":"), "/snap/bin", "/opt/bin", "/opt/podman/bin", "/opt/apptainer/bin")
"""Where programs are that PATH does not lead to."""


def missing(
    tried: str, program: str, path: str, role: str = "", cmd: Sequence[str] = ()
) -> CesError:
    """The error for a program that cannot be started by its name.

    It may be here all the same: scripts, jobs and cron have a PATH of their own.

    :param path: the PATH that was looked through.
    :param role: the role that installs it; nothing for a program of every host.
    :param cmd: the argument list that was to run, if there is one.
    """
    directories = dict.fromkeys((*path.split(":"), *PLACES))
    places = [f"{directory or '.'}/{program}" for directory in directories]
    there = next((place for place in places if os.path.isfile(place)), None)
    if there is None:
        said = f"{program} is not installed on this host (PATH is {path or 'nothing'})"
        return CesError(tried, said=said, hint=_cure_by(role), cmd=cmd)
    if not os.access(there, os.X_OK):
        said, hint = f"you may not execute {there}", "the administrator lets you (mode and group)"
        return CesError(tried, said=said, hint=hint, cmd=cmd)
    return CesError(
        tried,
        said=f"{there} is installed, and PATH ({path or 'empty'}) does not lead there",
        hint=f"add {os.path.dirname(there)} to PATH, in a script with"
        f" export PATH=$PATH:{os.path.dirname(there)}",
        cmd=cmd,
    )


def _cure_by(role: str) -> str:
    """What to do where a program is not installed."""
    if role == "slurm":
        return (
            "use a host of the cluster, or the administrator installs Slurm's commands (role slurm)"
        )
    return "the administrator installs it" + (f" (role {role})" if role else "")
