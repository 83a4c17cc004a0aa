# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that roles keep on a host, in a directory that only root can enter."""

from __future__ import annotations

import hashlib
import json
import os

from ...typed import Any, Mapping
from ..files import read_if_there, write_atomic


def digest_of(text: str) -> str:
    """By which a list knows a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def noted_in(file: str) -> dict[str, Any]:
    """What a list has, by path; one that is missing or damaged is an empty one."""
    try:
        found: Any = json.loads(read_if_there(file))
    except (ValueError, RecursionError):
        return {}
    return dict(found) if isinstance(found, dict) else {}


def put_down(file: str, noted: Mapping[str, Any]) -> None:
    """Write a list.

    :raises CesError: it cannot be written.
    """
    os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
    write_atomic(file, json.dumps(noted, indent=1, sort_keys=True) + "\n")
