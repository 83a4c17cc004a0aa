# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a user's unpacked images are."""

from __future__ import annotations

from ....system.account import Account
from ....typed import Mapping


def own_bundles(home: str, environ: Mapping[str, str]) -> str:
    """The user's own.

    What containers write lies there too, and no network file system can hold that.

    :param environ: of engines.
    """
    data = environ.get("XDG_DATA_HOME", "")
    return f"{data if data.startswith('/') else f'{home}/.local/share'}/ces/bundles"


def places(account: Account, _root: str = "") -> Mapping[str, str]:
    """The directories, by their names in ``traits.py``."""
    return {"data": own_bundles(account.home, account.lasting_environ)}
