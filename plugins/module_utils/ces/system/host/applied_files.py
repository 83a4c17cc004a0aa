# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files the programs that read them have taken up, also after a run that was interrupted."""

from __future__ import annotations

from ...typed import Any, Iterable
from ..files import remove_quietly
from .noted import digest_of, noted_in, put_down

_CHANGING = ""
"""Stands for a file that is being changed: no program is known to have read it."""


class AppliedFiles:
    """A list of what was last applied, by path, in a directory that only root can enter.

    A file leaves the list before it is changed and is in it again once its program has read it. So
    an interrupted run can leave the list with too little, never with too much.

    :param check: change the list in memory only.
    """

    def __init__(self, directory: str, check: bool = False) -> None:
        self._list, self._check = f"{directory}/applied.json", check
        # with a damaged list a program reads its file once too often
        self._applied = noted_in(self._list)

    def waits(self, path: str, content: str | None) -> bool:
        """Whether a program is to read this content yet.

        :param content: None where the file is to be absent. One that never was there waits for
            nothing.
        """
        if content is None:
            return path in self._applied
        return self._applied.get(path) != digest_of(content)

    def change(self, paths: Iterable[str]) -> None:
        """These files are about to be changed, or their program is known to have something else."""
        self._put(dict.fromkeys(paths, _CHANGING))

    def apply(self, files: dict[str, str | None]) -> None:
        """Programs have read these files, with this content."""
        self._put({path: None if text is None else digest_of(text) for path, text in files.items()})

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
            put_down(self._list, after)
