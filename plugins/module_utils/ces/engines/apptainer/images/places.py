# SPDX-License-Identifier: GPL-3.0-or-later
"""Where apptainer keeps what is a user's."""

from __future__ import annotations

from ....system.account import Account
from ....typed import Mapping

_TEMPORARY = "/var/tmp"  # noqa: S108  what is made there is private and has a name of its own


def own_files(account: Account) -> str:
    """The user's own image files, which may lie on a network file system."""
    data = account.environ.get("XDG_DATA_HOME", "")
    return f"{data}/ces/sif" if data.startswith("/") else f"{account.home}/.local/share/ces/sif"


def building(environ: Mapping[str, str]) -> str:
    """Where images are unpacked and converted.

    :param environ: of engines.
    """
    return environ.get("APPTAINER_TMPDIR", _TEMPORARY)


def places(account: Account, _root: str = "") -> Mapping[str, str]:
    """The directories, by their names in ``traits.py``."""
    environ = account.lasting_environ
    cache = environ.get("APPTAINER_CACHEDIR")
    return {
        "files": own_files(account),
        "cache": cache or f"{account.home}/.apptainer/cache",
        "building": building(environ),
    }
