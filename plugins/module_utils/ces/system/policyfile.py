# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's policy file."""

from __future__ import annotations

from ..errors import NotFound
from ..values.policy import Policy
from .files import read_json

POLICY_FILE = "/etc/ces/policy.json"
"""Fixed: a path that users could choose would be no policy."""


def load_policy(path: str = POLICY_FILE) -> Policy:
    """The policy; without a file the built-in defaults, which allow no registry.

    :raises CesError: the file cannot be read or is wrong, naming the file and the key.
    """
    try:
        raw = read_json(path, "the policy")
    except NotFound:
        return Policy(origin=path)
    return Policy.from_dict(raw, path)
