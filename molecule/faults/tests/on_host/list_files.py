# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file below some places, with all that a change of it would change.

places; without: names of directories that are passed over. Answers {path: [kind and mode, owner,
group, size, time of change, digest or target]}; the time of a directory is left out, which entries
stand for.
"""

import hashlib
import json
import os
import stat
import sys

asked = json.loads(sys.stdin.readline())


def content(path: str, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return ""
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def facts(path: str) -> list[str | int]:
    status = os.lstat(path)
    changed = 0 if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns
    size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    mode = oct(status.st_mode)
    return [mode, status.st_uid, status.st_gid, size, changed, content(path, status)]


listing = {}
for place in asked["places"]:
    for directory, names, files in os.walk(place):
        names[:] = [name for name in names if name not in asked["without"]]
        for name in [*names, *files]:
            path = f"{directory}/{name}"
            try:
                listing[path] = facts(path)
            except FileNotFoundError:
                continue
print(json.dumps(listing))
