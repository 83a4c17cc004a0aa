# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of this host: which are installed, and what its sources offer (apt, rpm)."""

from __future__ import annotations

import glob
import os
import time

from ...errors import CesError
from ...typed import Any
from ...values.command import Command
from ..process import Process, Streams

_LISTS = "/var/lib/apt/lists/*_Packages*"
_MARKS = ("/var/lib/apt/lists", "/var/lib/apt/periodic/update-success-stamp")
"""Their times of change: the first changes with each list, the second after a complete update."""
_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/sources.list.d/*")
_TARGET = "$(REPO_URI)\t$(CODENAME)\t$(COMPONENT)\t$(CREATED_BY)\t$(SIGNED_BY)"
_WHOLE = Streams(keep=16 * 1024 * 1024)


def missing(process: Process, names: list[str]) -> list[str]:
    """Those of the packages that are not installed. A host without dpkg and rpm misses all."""
    if not names:
        return []
    rows = _ask(
        process, "dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\n", *names
    )
    there = {row.split()[1] for row in rows if row.startswith("installed ")}
    there |= set(_ask(process, "rpm", "--query", "--queryformat=%{NAME}\n", *names))
    return [name for name in names if name not in there]


def lists_age(root: str = "") -> int | None:
    """Seconds since apt's lists of packages were fetched; None where apt has none of its sources.

    A source that was added or changed since then has none yet, whoever wrote it.
    """
    if not glob.glob(f"{root}{_LISTS}"):
        return None
    times = [
        os.stat(f"{root}{mark}").st_mtime for mark in _MARKS if os.path.exists(f"{root}{mark}")
    ]
    sources = [path for pattern in _SOURCES for path in glob.glob(f"{root}{pattern}")]
    if any(os.stat(path).st_mtime > max(times) for path in sources):
        return None
    return int(time.time() - max(times))


def version_of(process: Process, name: str) -> str:
    """The version of a package of Debian's that is installed, or ''."""
    rows = _ask(
        process, "dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", name
    )
    status, _space, version = "".join(rows).partition(" ")
    return version.strip() if status == "installed" else ""


def offers(process: Process, name: str) -> list[dict[str, str]]:
    """The versions of a package in apt's lists: ``version``, and the ``suite`` that has it."""
    rows = (line.split("|") for line in _ask(process, "apt-cache", "madison", name))
    found = ((row[1].strip(), row[2].split()) for row in rows if len(row) == 3)
    return [
        {"version": version, "site": source[0], "suite": source[1].split("/")[0]}
        for version, source in found
        if source[-1] == "Packages"
    ]


def mirrors(process: Process) -> list[dict[str, str]]:
    """Where apt gets the packages of the component main from, by the host's own configuration."""
    rows = (
        line.split("\t") for line in _ask(process, "apt-get", "indextargets", "--format", _TARGET)
    )
    return [
        {"uri": uri, "codename": codename, "signed_by": "" if signed[:1] == "$" else signed}
        for uri, codename, component, made_by, signed in rows
        if component == "main" and made_by == "Packages"
    ]


def apt(process: Process, name: str) -> dict[str, Any]:
    """All that apt knows of a package: ``installed``, ``offers``, ``mirrors``."""
    return {
        "installed": version_of(process, name),
        "offers": offers(process, name),
        "mirrors": mirrors(process),
    }


def _ask(process: Process, *argv: str) -> list[str]:
    """The lines that a program wrote; none where the program is missing."""
    if not any(os.access(f"{place}/{argv[0]}", os.X_OK) for place in ("/usr/bin", "/bin")):
        return []
    try:
        return process.run(Command(argv), _WHOLE).stdout.splitlines()
    except CesError:
        return []
