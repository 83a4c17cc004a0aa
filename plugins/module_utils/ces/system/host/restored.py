# SPDX-License-Identifier: GPL-3.0-or-later
"""A host without what roles wrote: what they made goes, what they replaced comes back."""

from __future__ import annotations

import os
import shutil

from ...dataclass import dataclass, field
from ...typed import Sequence
from ..files import regular, remove_quietly
from .kept_files import MARK, KeptFiles, copy_whole

_NOT_SHOWN = "a text that not everybody may read"


@dataclass
class Restored:
    """What was done, or would be.

    :param removed: paths that are gone, because we had made them.
    :param restored: files that are as they were before us.
    :param kept: files that somebody changed after we wrote them, each with a copy of that.
    :param left: paths that stay, each with the reason.
    :param diff: of each file its text before and after, if everybody may read it.
    """

    removed: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    diff: list[dict[str, str]] = field(default_factory=list)


class Restoring:
    """Take back what is on the list, files first, directories last.

    Each path is forgotten once it is done, so that a restoring that was stopped can go on.

    :param check: find out only.
    :param leave: paths that stay as they are, and on the list.
    """

    def __init__(self, files: KeptFiles, check: bool, leave: Sequence[str] = ()) -> None:
        self._files, self._check, self._leave = files, check, frozenset(leave)
        self._copies = files.copies()
        self.done = Restored()

    def run(self) -> Restored:
        """:raises OSError: something cannot be read or changed; the rest stays on the list."""
        entries = dict(self._files.entries)
        for path in self._copies:
            entries.setdefault(path, {"kind": "file"})
        for path in self._leave.intersection(entries):
            del entries[path]
            if os.path.lexists(path):
                self.done.left[path] = "it is to stay"
        order = {"file": self._file, "link": self._link, "tree": self._tree}
        try:
            for kind, take_back in order.items():
                for path in sorted(entries):
                    if entries[path]["kind"] == kind:
                        self._forget(path, take_back(path))
            # what is in a directory comes before it
            for path in sorted(entries, reverse=True):
                if entries[path]["kind"] == "directory":
                    self._forget(path, self._directory(path))
        finally:
            self._files.save()
        return self.done

    def _forget(self, path: str, copy: str) -> None:
        """The path is done: first the list says so, then the copy goes that is in its place."""
        others = [one for one in self._copies.get(path, []) if one != copy]
        self._files.forget(path, copies=any(map(os.path.lexists, others)))
        if copy and not self._check:
            self._files.save()
            remove_quietly(copy)

    def _file(self, path: str) -> str:
        """
        :returns: the copy that is of no use any more.
        """
        original = self._original(path)
        if os.path.isdir(path):
            self.done.left[path] = "there is a directory now"
            return ""
        if original and not os.path.lexists(original):
            self.done.left[path] = f"the copy of what was there before is gone: {original}"
            return ""
        now, before = _text(path), _text(original)
        shown = _readable_for_all(path) and _readable_for_all(original)
        copy = None if now is None else self._files.keep(path, now)
        if copy and copy != original:
            self._copies.setdefault(path, []).append(copy)
            # what is on no list a program of ours has edited, and nobody has to be told
            if path in self._files.entries:
                self.done.kept[path] = copy
        if now == before:
            return original
        if before is None:
            self._remove(path)
        else:
            self.done.restored.append(path)
            self._put_back(original, path)
        self.done.diff.append(
            {
                "before_header": path,
                "after_header": path,
                "before": (now or "") if shown else f"{_NOT_SHOWN}, as we wrote it\n",
                "after": (before or "") if shown else f"{_NOT_SHOWN}, as it was before us\n",
            }
        )
        return original

    def _original(self, path: str) -> str:
        """The copy of what was there before us; "" if there is none."""
        before = self._files.entries.get(path, {}).get("before")
        if before is not None:
            return before
        foreign = (copy for copy in self._copies.get(path, []) if MARK not in (_text(copy) or ""))
        return next(foreign, "")

    def _put_back(self, copy: str, path: str) -> None:
        if self._check:
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        copy_whole(copy, path)

    def _link(self, path: str) -> str:
        if os.path.islink(path):
            self._remove(path)
        elif os.path.lexists(path):
            self.done.left[path] = "it is no link any more"
        return ""

    def _tree(self, path: str) -> str:
        if os.path.isdir(path) and not os.path.islink(path):
            self.done.removed.append(path)
            if not self._check:
                shutil.rmtree(path)
        else:
            self._link(path)
        return ""

    def _directory(self, path: str) -> str:
        if os.path.islink(path) or not os.path.isdir(path):
            return ""
        gone = set(self.done.removed)
        rest = [name for name in os.listdir(path) if f"{path}/{name}" not in gone]
        if rest:
            self.done.left[path] = f"{', '.join(sorted(rest)[:3])} is in it"
        else:
            self._remove(path)
        return ""

    def _remove(self, path: str) -> None:
        self.done.removed.append(path)
        if self._check:
            return
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        else:
            os.unlink(path)


def _readable_for_all(path: str) -> bool:
    """Whether no secret can be in a file; one that is not there has none."""
    return not os.path.exists(path) or bool(os.stat(path).st_mode & 0o004)


def _text(path: str) -> str | None:
    """What is in a file; None where there is none."""
    try:
        with open(
            path, encoding="utf-8", errors="surrogateescape", newline="", opener=regular
        ) as stream:
            return stream.read()
    except FileNotFoundError:
        return None
