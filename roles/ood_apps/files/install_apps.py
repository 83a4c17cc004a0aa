# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the portal's directory of apps hold exactly our apps' files, beside those of others.

Runs on the portal: ``python3 install_apps.py compare|install DIRECTORY`` with JSON on standard
input:

    {"archive": tar in base64, "apps": {NAME: {"group": GROUP or ""}}, "absent": [NAME, ...]}

Prints, as a JSON list, what differs (compare), or what was brought in line (install). Files are
root's; the directory of an app with a group is 0750 and the group's, so that the portal shows the
app to nobody else. Each file is replaced in one step.
"""

from __future__ import annotations

import base64
import grp
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

Change = tuple[str, Callable[[], None]]
"""What differs, and how to mend it."""


def wanted(archive: bytes) -> dict[str, tuple[bytes, int]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        streams = ((member, tar.extractfile(member)) for member in tar.getmembers())
        return {member.name: (stream.read(), member.mode) for member, stream in streams if stream}


def right(path: Path, mode: int, gid: int = 0) -> bool:
    status = path.lstat()
    return (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, gid, mode)


def same(file: Path, content: bytes, mode: int) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    return right(file, mode) and file.read_bytes() == content


def write(file: Path, content: bytes, mode: int) -> None:
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    os.chown(temporary, 0, 0)
    os.chmod(temporary, mode)
    os.replace(temporary, file)


def make(directory: Path, mode: int, gid: int) -> None:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        directory.unlink()
    directory.mkdir(parents=True, exist_ok=True)
    os.chown(directory, 0, gid)
    os.chmod(directory, mode)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def directories(names: list[str]) -> list[str]:
    """All that are above the files, the upper first."""
    found = {str(parent) for name in names for parent in Path(name).parents if str(parent) != "."}
    return sorted(found)


def changes(root: Path, asked: dict[str, Any]) -> Iterator[Change]:
    tree = wanted(base64.b64decode(asked["archive"]))
    above = directories(list(tree))
    for name in above:
        group = asked["apps"].get(name, {}).get("group", "")
        mode, gid = (0o750, grp.getgrnam(group).gr_gid) if group else (0o755, 0)
        path = root / name
        if path.is_symlink() or not path.is_dir() or not right(path, mode, gid):
            yield str(path), partial(make, path, mode, gid)
    for name, (content, mode) in tree.items():
        file = root / name
        if not same(file, content, mode):
            yield str(file), partial(write, file, content, mode)
    kept = {root / name for name in [*tree, *above]}
    for app in asked["apps"]:
        for path in sorted((root / app).rglob("*"), reverse=True):
            if path not in kept:
                yield f"{path} (stale)", partial(remove, path)
    for app in asked["absent"]:
        if (root / app).is_dir():
            yield f"{root / app} (not wanted)", partial(remove, root / app)


def main(action: str, root: Path) -> None:
    os.umask(0o022)
    found = []
    for what, mend in changes(root, json.load(sys.stdin)):
        found.append(what)
        if action == "install":
            mend()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
