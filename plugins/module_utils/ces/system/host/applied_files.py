# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files the programs that read them have taken up, also after a run that was interrupted."""

from __future__ import annotations

import hashlib
import json
import os

from ...typed import Any, Iterable
from ..files import read_if_there, remove_quietly, write_atomic

_CHANGING = ""
"""Stands for a file that is being changed: no program is known to have read it."""


class AppliedFiles:
    """A list of what was last applied, by path, in a directory that only root can enter.

    A file leaves the list before it is changed and is in it again once its program has read it. So
    an interrupted run can leave the list with too little, never with too much.

    :param check: change the list in memory only.
    """

    def __init__(self, directory: str, check: bool = False) -> None:
        self._directory, self._check = directory, check
        self._list = f"{directory}/applied.json"
        self._applied = _parsed(read_if_there(self._list))

    def waits(self, path: str, content: str | None) -> bool:
        """Whether a program is to read this content yet.

        :param content: None where the file is to be absent. One that never was there waits for
            nothing.
        """
        if content is None:
            return path in self._applied
        return self._applied.get(path) != _digest(content)

    def change(self, paths: Iterable[str]) -> None:
        """These files are about to be changed, or their program is known to have something else."""
        self._put(dict.fromkeys(paths, _CHANGING))

    def apply(self, files: dict[str, str | None]) -> None:
        """Programs have read these files, with this content."""
        self._put({path: None if text is None else _digest(text) for path, text in files.items()})

    def forget(self) -> None:
        """Nothing of ours is there any more."""
        if not self._check:
            remove_quietly(self._list)

    def _put(self, new: dict[str, Any]) -> None:
        after = {**self._applied, **new}
        after = {path: digest for path, digest in after.items() if digest is not None}
        if after == self._applied:
            return
        self._applied = after
        if not self._check:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            write_atomic(self._list, json.dumps(after, indent=1, sort_keys=True) + "\n")


def _parsed(text: str) -> dict[str, str]:
    """A list that was damaged is an empty one: then a program reads its file once too often."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return dict(found) if isinstance(found, dict) else {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
