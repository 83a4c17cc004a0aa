# SPDX-License-Identifier: GPL-3.0-or-later
"""What podman's databases of a user record about the places of storage (SQLite, bbolt)."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator

_SETTINGS = {
    "StaticDir": "static-dir",
    "GraphRoot": "graph-root",
    "RunRoot": "run-root",
    "GraphDriver": "graph-driver-name",
    "VolumeDir": "volume-path",
}
"""What podman records about its storage: the column in db.sql, the key in bolt_state.db."""

_BOLT_PAGE = 4096
_BOLT_MAX = 64 * 1024 * 1024
_BOLT_MAGIC = 0xED0CDAED.to_bytes(4, "little")
_BOLT_BRANCH = 1


_BROKEN = (sqlite3.Error, struct.error, ValueError, OSError, RecursionError, MemoryError)
"""What comes of a file that is no database, or one that a user made up."""


def contradictions(graph_root: str, uid: int) -> Iterator[str]:
    """What the databases record that the configuration no longer says, as sentences."""
    expected = {
        "StaticDir": f"{graph_root}/libpod",
        "GraphRoot": graph_root,
        "RunRoot": f"/run/user/{uid}/containers",
        "GraphDriver": "overlay",
        "VolumeDir": f"{graph_root}/volumes",
    }
    for name, read in _DATABASES.items():
        file = f"{graph_root}/{name}"
        if not os.path.isfile(file):
            continue
        try:
            recorded = read(file)
        except _BROKEN as error:
            yield f"{file} cannot be read ({error})"
            continue
        for key, value in recorded.items():
            if value and value != expected[key]:
                yield f"{file} records {key} {value}, the configuration says {expected[key]}"


def has_container(graph_root: str, name: str) -> bool | None:
    """Whether podman has a container of that name, running or not; None if its file cannot tell.

    podman itself says it too, and takes a third of a run's time for that.
    """
    file = f"{graph_root}/db.sql"
    if not os.path.isfile(file):
        return None
    try:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            asked = "SELECT COUNT(*) FROM ContainerConfig WHERE Name = ?"
            return bool(connection.execute(asked, (name,)).fetchone()[0])
        finally:
            connection.close()
    except _BROKEN:
        return None


def _from_sqlite(file: str) -> dict[str, str]:
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        row = connection.execute("SELECT * FROM DBConfig").fetchone()
    finally:
        connection.close()
    return {name: row[name] for name in _SETTINGS} if row else {}


def _from_bolt(file: str) -> dict[str, str]:
    with open(file, "rb") as stream:
        data = stream.read(_BOLT_MAX)
    pages = [data[start : start + 72] for start in (0, _BOLT_PAGE)]
    metas = [page for page in pages if page[16:20] == _BOLT_MAGIC]
    newest = max(metas, key=lambda page: int.from_bytes(page[64:72], "little"))
    root = int.from_bytes(newest[32:40], "little")
    bucket = dict(_bolt_items(data, _bolt_page(data, root))).get(b"runtime-config", b"")
    inner = int.from_bytes(bucket[:8], "little")
    # a small bucket is a page inside the value that names it
    found = dict(_bolt_items(data, _bolt_page(data, inner) if inner else bucket[16:]))
    pairs = ((name, found.get(key.encode(), b"")) for name, key in _SETTINGS.items())
    return {name: value.decode() for name, value in pairs}


def _bolt_page(data: bytes, number: int) -> bytes:
    return data[number * _BOLT_PAGE :]


def _bolt_items(data: bytes, page: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in a page of bbolt's tree and in the pages below it."""
    _number, flags, count, _overflow = struct.unpack_from("<QHHI", page)
    for start in range(16, 16 + 16 * count, 16):
        if flags & _BOLT_BRANCH:
            _position, _key_size, below = struct.unpack_from("<IIQ", page, start)
            yield from _bolt_items(data, _bolt_page(data, below))
        else:
            _flags, position, key_size, value_size = struct.unpack_from("<IIII", page, start)
            key = start + position
            value = key + key_size
            yield page[key:value], page[value : value + value_size]


_DATABASES = {"db.sql": _from_sqlite, "libpod/bolt_state.db": _from_bolt}
