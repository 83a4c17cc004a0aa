# SPDX-License-Identifier: GPL-3.0-or-later
"""Where podman keeps what is a user's."""

from __future__ import annotations

from ....system.account import Account
from ....system.podman_places import podman_storage, podman_temporary
from ....typed import Mapping


def places(account: Account, root: str = "") -> Mapping[str, str]:
    """The directories, by their names in ``traits.py``.

    :param root: of the host, for tests.
    """
    return {
        "storage": podman_storage(account, root),
        "temporary": podman_temporary(account, root),
    }
