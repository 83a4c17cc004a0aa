# SPDX-License-Identifier: GPL-3.0-or-later
"""The apptainer that is installed on this host: version, parts, and parts that are missing."""

from __future__ import annotations

import os
import shutil

from ...typed import Any
from ...values.command import Command
from ..process import Process
from .kernel import apparmor_profiles

_OURS = "tre-ces-apptainer"
"""The AppArmor profile that the role apptainer writes."""


def installed(process: Process) -> dict[str, Any]:
    """What is installed; ``version`` is '' where apptainer is not.

    :raises CesError: apptainer does not answer.
    """
    if shutil.which("apptainer") is None:
        return {"version": ""}
    build = dict(line.partition("=")[::2] for line in _ask(process, "buildcfg").splitlines())
    programs = f"{build['LIBEXECDIR']}/apptainer/bin"
    profiles = [name for name in apparmor_profiles() if "apptainer" in name and name != _OURS]
    return {
        "version": _ask(process, "--version").split()[-1],
        "starter": f"{programs}/starter",
        "setuid": os.path.exists(f"{programs}/starter-suid"),
        "missing": _missing_helpers(programs),
        "apparmor_profile": bool(profiles),
    }


def _missing_helpers(programs: str) -> list[str]:
    """Programs that apptainer starts and that are not there; release packages bring their own."""
    places = f"{programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    mounts = any(shutil.which(name, path=places) for name in ("squashfuse_ll", "squashfuse"))
    others = [
        name for name in ("fuse-overlayfs", "mksquashfs") if shutil.which(name, path=places) is None
    ]
    return ([] if mounts else ["squashfuse"]) + others


def _ask(process: Process, *words: str) -> str:
    done = process.run(Command(("apptainer", *words), role="apptainer"))
    return done.check(f"ask apptainer {' '.join(words)}").stdout.strip()
