# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles have written on a host, and copies of what somebody else had written there."""

from __future__ import annotations

import os
import shutil

from ...blocks import suppress
from ...typed import Any
from ..files import regular, remove_quietly
from .noted import digest_of, noted_in, put_down

MARK = "Written by Ansible (role tre.ces."
"""Stands in our files, as far as their form has comments."""
OWN = "/etc/ces/"
"""What is in it is for us alone. It is JSON, which has no place for the mark."""
_UNFINISHED = ".tre-ces.tmp"
Entry = dict[str, str]
"""What is known of a path. ``kind``: file, directory, tree (a directory with all that is in it),
link, or restored (it is as it would be without us, and copies are left of what others wrote). Of a
file: ``wrote``, the digest of what we wrote last (missing: we removed the file), and
``before``, the copy of what was there before we came ("": nothing was; missing: not known)."""


class KeptFiles:
    """A directory for root alone: the copies, and a list of what we have written ourselves.

    :param check: tell only where a copy would be.
    """

    def __init__(self, directory: str, check: bool = False) -> None:
        self._directory, self._check = directory, check
        self._list_file = f"{directory}/written.json"
        self._entries: dict[str, Entry] | None = None
        self._changed = False

    @property
    def entries(self) -> dict[str, Entry]:
        """All that is noted, by its path."""
        if self._entries is None:
            # with a damaged list a copy too many is kept
            noted = noted_in(self._list_file)
            self._entries = {path: _entry(one) for path, one in noted.items()}
        return self._entries

    def keep(self, path: str, text: str) -> str | None:
        """Copy a file that has this text, unless it is ours and as we left it.

        :returns: where the copy is.
        """
        if self._is_ours(path, text):
            return None
        copy = f"{self._directory}{path}.{digest_of(text)[:12]}"
        if not self._check and not os.path.exists(copy):
            self._make_room(os.path.dirname(copy))
            copy_whole(path, copy)
        return copy

    def note(self, path: str, text: str | None, copy: str | None = None) -> None:
        """This is what we write there; None: we remove the file.

        :param copy: of what is there now, if somebody else wrote it.
        """
        entry = dict(self.entries.get(path) or {"kind": "restored"})
        if entry["kind"] != "file":
            # in our directory an earlier version wrote it: the copy is for people alone
            entry = {"kind": "file", "before": "" if path.startswith(OWN) else copy or ""}
        entry.pop("wrote", None)
        if text is not None:
            entry["wrote"] = digest_of(text)
        if text is None and entry.get("before") == "":
            self.forget(path)
        else:
            self._note(path, entry)

    def note_as_ours(self, path: str, text: str) -> None:
        """The file has the text that we want: it is ours if its mark or its place says so."""
        if path not in self.entries and (MARK in text or path.startswith(OWN)):
            # what was there before is known by copies, if at all
            self._note(path, {"kind": "file", "wrote": digest_of(text)})

    def note_made(self, path: str, kind: str) -> None:
        """A directory, a tree or a link is there for us alone."""
        self._note(path, {"kind": kind})

    def note_missing_above(self, path: str) -> None:
        """Directories above a path that are not there yet: we make them."""
        above = os.path.dirname(path)
        while not os.path.lexists(above):
            self.note_made(above, "directory")
            above = os.path.dirname(above)

    def forget(self, path: str, copies: bool = False) -> None:
        """The path is as it would be without us.

        :param copies: copies of it are left, for people, not for us.
        """
        if copies:
            self._note(path, {"kind": "restored"})
        elif self.entries.pop(path, None) is not None:
            self._changed = True

    def save(self) -> None:
        """Put down what was noted; without anything noted nothing of ours is left."""
        if not self._changed or self._check:
            return
        if not self.entries:
            remove_quietly(self._list_file)
            _remove_empty(self._directory)
        else:
            put_down(self._list_file, self.entries)

    def copies(self) -> dict[str, list[str]]:
        """All copies, the oldest first, by the path of which they are."""
        found: dict[str, list[str]] = {}
        for directory, _below, names in os.walk(self._directory):
            if directory == self._directory:
                continue  # lists
            for name in names:
                if name.endswith(_UNFINISHED):
                    continue
                copy = f"{directory}/{name}"
                found.setdefault(_original_of(copy[len(self._directory) :]), []).append(copy)
        for several in found.values():
            several.sort(key=lambda copy: os.lstat(copy).st_ctime_ns)
        return found

    def _note(self, path: str, entry: Entry) -> None:
        if self.entries.get(path) != entry:
            self.entries[path] = entry
            self._changed = True

    def _make_room(self, directory: str) -> None:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def _is_ours(self, path: str, text: str) -> bool:
        entry = self.entries.get(path)
        return MARK in text if entry is None else entry.get("wrote") == digest_of(text)


def _remove_empty(top: str) -> None:
    for directory, _below, _names in os.walk(top, topdown=False):
        with suppress(OSError):
            os.rmdir(directory)


def _original_of(copy: str) -> str:
    """The path of which this is a copy: its digest is left out, if the name has one."""
    path, dot, digest = copy.rpartition(".")
    has_digest = dot and len(digest) == 12 and not set(digest) - set("0123456789abcdef")
    return path if has_digest else copy


def _entry(noted: Any) -> Entry:
    """An earlier version noted digests alone."""
    return noted if isinstance(noted, dict) else {"kind": "file", "wrote": str(noted)}


def copy_whole(source: str, target: str) -> None:
    """Copy a file with its owner and mode in one step: the copy is whole, or not there.

    :raises OSError: it cannot be copied.
    """
    unfinished = f"{target}{_UNFINISHED}"
    remove_quietly(unfinished)
    try:
        # nobody else reads it before it has its owner and mode
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        shutil.copy2(source, unfinished)
        status = os.stat(source)
        os.chown(unfinished, status.st_uid, status.st_gid)
        with open(unfinished, "rb", opener=regular) as stream:
            os.fsync(stream.fileno())
        os.replace(unfinished, target)
    except BaseException:
        remove_quietly(unfinished)
        raise
