# SPDX-License-Identifier: GPL-3.0-or-later
"""Report what lies under containers' storage on this host, and what users have that contradicts it.

Reads only. Run as root: ``python3 report_storage.py ROOT USER...``; prints one JSON object. What
belongs to a user is read with that user's rights: root may not be able to (NFS with root-squash),
and must not follow what a user put there.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOBODY = 65534
SETTINGS = {
    "StaticDir": "static-dir",
    "GraphRoot": "graph-root",
    "RunRoot": "run-root",
    "GraphDriver": "graph-driver-name",
    "VolumeDir": "volume-path",
}
"""What podman records about its storage: the column in db.sql, the key in bolt_state.db."""


def mounts() -> Iterator[tuple[str, str]]:
    """Mount points and their file systems, the later ones on top of the earlier ones."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _dash, right = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4])
        yield point, right.split()[0]


def file_system(path: Path) -> tuple[str, str]:
    """Mount point and type of the file system that holds the path, or would hold it."""
    real = os.path.realpath(path)
    found = ("/", "unknown")
    for point, kind in mounts():
        below = real == point or real.startswith(point.rstrip("/") + "/")
        if below and kind != "autofs" and len(point) >= len(found[0]):
            found = (point, kind)
    return found


def existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    return path if path.is_dir() else existing(path.parent)


def native_overlay(path: Path) -> str:
    """Mount an overlay there as an ordinary user would; what the kernel said, or ''."""
    try:
        work = Path(tempfile.mkdtemp(prefix=".tre-ces-overlay-", dir=path))
    except OSError as error:  # read-only, or a file server to which root is nobody
        return str(error)
    try:
        for name in ("lower", "upper", "work", "merged"):
            (work / name).mkdir()
            os.chown(work / name, NOBODY, NOBODY)
        os.chown(work, NOBODY, NOBODY)
        options = f"userxattr,lowerdir={work}/lower,upperdir={work}/upper,workdir={work}/work"
        nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        namespace = ["unshare", "--user", "--map-root-user", "--mount"]
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, f"{work}/merged"]
        done = subprocess.run(
            [*nobody, *namespace, *mount],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"
    finally:
        shutil.rmtree(work)


def recorded_in_sqlite(file: Path) -> dict[str, str]:
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        row = connection.execute("SELECT * FROM DBConfig").fetchone()
    finally:
        connection.close()
    return {name: row[name] for name in SETTINGS} if row else {}


def recorded_in_bolt(file: Path) -> dict[str, str]:
    data = file.read_bytes()
    pages = [data[start : start + 72] for start in (0, BOLT_PAGE)]
    metas = [page for page in pages if page[16:20] == BOLT_MAGIC]
    newest = max(metas, key=lambda page: int.from_bytes(page[64:72], "little"))
    buckets = dict(bolt_items(data, bolt_page(data, int.from_bytes(newest[32:40], "little"))))
    bucket = buckets.get(b"runtime-config", b"")
    root = int.from_bytes(bucket[:8], "little")
    # a small bucket is a page inside the value that names it
    found = dict(bolt_items(data, bolt_page(data, root) if root else bucket[16:]))
    pairs = ((name, found.get(key.encode(), b"")) for name, key in SETTINGS.items())
    return {name: value.decode() for name, value in pairs}


def bolt_page(data: bytes, number: int) -> bytes:
    return data[number * BOLT_PAGE :]


def bolt_items(data: bytes, page: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in a page of bolt's tree and in those below it."""
    _number, flags, count, _overflow = struct.unpack_from("<QHHI", page)
    for start in range(16, 16 + 16 * count, 16):
        if flags & BOLT_BRANCH:
            _position, _key_size, below = struct.unpack_from("<IIQ", page, start)
            yield from bolt_items(data, bolt_page(data, below))
        else:
            _flags, position, key_size, value_size = struct.unpack_from("<IIII", page, start)
            key = start + position
            value = key + key_size
            yield page[key:value], page[value : value + value_size]


BOLT_PAGE = 4096
BOLT_MAGIC = 0xED0CDAED.to_bytes(4, "little")
BOLT_BRANCH = 1
DATABASES = {"db.sql": recorded_in_sqlite, "libpod/bolt_state.db": recorded_in_bolt}


def contradictions(graph_root: Path, uid: int) -> Iterator[str]:
    """What the user's databases record that the configuration no longer says, as sentences."""
    expected = {
        "StaticDir": f"{graph_root}/libpod",
        "GraphRoot": f"{graph_root}",
        "RunRoot": f"/run/user/{uid}/containers",
        "GraphDriver": "overlay",
        "VolumeDir": f"{graph_root}/volumes",
    }
    for name, read in DATABASES.items():
        file = graph_root / name
        if not file.is_file():
            continue
        try:
            recorded = read(file)
        except (sqlite3.Error, struct.error, ValueError, OSError) as error:
            yield f"{file} cannot be read ({error})"
            continue
        for key, value in recorded.items():
            if value and value != expected[key]:
                yield f"{file} records {key} {value}, the configuration says {expected[key]}"


def inspect(user: pwd.struct_passwd, root: Path) -> dict[str, Any]:
    """Look at what is the user's, with the user's rights."""
    home = Path(user.pw_dir)
    graph_root = root / str(user.pw_uid) / "storage"
    own = home / ".config/containers/storage.conf"
    left = home / ".local/share/containers/storage"
    return {
        "own_configuration": str(own) if own.is_file() else "",
        "left_behind": str(left) if left.is_dir() and left != graph_root else "",
        "contradictions": list(contradictions(graph_root, user.pw_uid)),
    }


def as_user(user: pwd.struct_passwd, root: Path) -> dict[str, Any]:
    """Run :func:`inspect` in a child that has become the user."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.initgroups(user.pw_name, user.pw_gid)
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            answer = inspect(user, root)
        except OSError as error:
            answer = {"unreadable": str(error)}
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            json.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    nothing = {"unreadable": "", "own_configuration": "", "left_behind": "", "contradictions": []}
    return {**nothing, **(json.loads(text) if text else {"unreadable": "its reader died"})}


def report_user(name: str, root: Path) -> dict[str, Any]:
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return {"name": name, "known": False}
    directory = root / str(user.pw_uid)
    return {
        "name": name,
        "known": True,
        "uid": user.pw_uid,
        "gid": user.pw_gid,
        "home": user.pw_dir,
        "directory": str(directory),
        "directory_right": directory.is_dir()
        and (directory.stat().st_uid, directory.stat().st_mode & 0o777) == (user.pw_uid, 0o700),
        **as_user(user, root),
    }


def main(root: Path, names: list[str]) -> None:
    there = existing(root)
    point, kind = file_system(root)
    print(
        json.dumps(
            {
                "mount_point": point,
                "file_system": kind,
                "native_overlay_said": native_overlay(there),
                "fuse_device": Path("/dev/fuse").exists(),
                "users": [report_user(name, root) for name in names],
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
