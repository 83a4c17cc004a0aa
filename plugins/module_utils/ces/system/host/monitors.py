# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of podman that run, and the storage that each is in, whatever podman sees now."""

from __future__ import annotations

import os

from ...typed import Iterator
from ..proc import arguments_of, owner_of

_MONITOR = b"conmon"


def running_containers() -> Iterator[tuple[int, str, str]]:
    """Of each container that runs the uid of its user, its storage, and its name."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        words = arguments_of(int(pid))
        if words[0].rpartition(b"/")[2] != _MONITOR:
            continue
        bundle, name = (os.fsdecode(_value_of(option, words)) for option in (b"-b", b"-n"))
        # STORAGE/DRIVER-containers/ID/userdata
        storage = bundle.rsplit("/", 3)[0]
        if storage.startswith("/"):
            yield owner_of(int(pid)), storage, name


def _value_of(option: bytes, words: list[bytes]) -> bytes:
    try:
        return words[words.index(option) + 1]
    except (ValueError, IndexError):
        return b""
