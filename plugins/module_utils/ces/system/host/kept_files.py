# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of what somebody else wrote, of the files that roles replace or remove."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

from ...typed import Any
from ..files import read_if_there, write_atomic

MARK = "Written by Ansible (role tre.ces."
"""Stands in our files, as far as their form has comments."""


class KeptFiles:
    """A directory for root alone: the copies, and a list of what we have written ourselves.

    :param check: tell only where a copy would be.
    """

    def __init__(self, directory: str, check: bool = False) -> None:
        self._directory, self._check = directory, check
        self._list = f"{directory}/written.json"
        self._written: dict[str, str] | None = None
        self._changed = False

    def keep(self, path: str, text: str) -> str | None:
        """Copy a file that has this text, unless it is ours and as we left it.

        :returns: where the copy is.
        """
        if self._is_ours(path, text):
            return None
        copy = f"{self._directory}{path}.{_digest(text)[:12]}"
        if not self._check and not os.path.exists(copy):
            self._make_room(os.path.dirname(copy))
            shutil.copy2(path, copy)
            status = os.stat(path)
            os.chown(copy, status.st_uid, status.st_gid)
        return copy

    def note(self, path: str, text: str) -> None:
        """This is what we write there."""
        self._list_of_ours()[path] = _digest(text)
        self._changed = True

    def save(self) -> None:
        """Put down what was noted."""
        if self._changed and not self._check:
            self._make_room(self._directory)
            text = json.dumps(self._list_of_ours(), indent=1, sort_keys=True) + "\n"
            write_atomic(self._list, text)

    def _make_room(self, directory: str) -> None:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def _is_ours(self, path: str, text: str) -> bool:
        before = self._list_of_ours().get(path)
        return MARK in text if before is None else before == _digest(text)

    def _list_of_ours(self) -> dict[str, str]:
        if self._written is None:
            self._written = _parsed(read_if_there(self._list))
        return self._written


def _parsed(text: str) -> dict[str, str]:
    """A list that was damaged is an empty one: then a copy too many is kept."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return dict(found) if isinstance(found, dict) else {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
