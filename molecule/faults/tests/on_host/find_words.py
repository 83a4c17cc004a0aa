# SPDX-License-Identifier: GPL-3.0-or-later
"""Find regular files below some places that hold a word.

places; words; without: paths that are passed over. Answers {looked_at: how many, found: [path]}.
"""

import json
import os
import stat
import sys

LARGE = 50 << 20
"""Bytes: only layers of images are larger."""

asked = json.loads(sys.stdin.readline())
words = [word.encode() for word in asked["words"]]
looked_at, found = 0, []
for place in asked["places"]:
    for directory, names, files in os.walk(place):
        names[:] = [n for n in names if f"{directory}/{n}" not in asked["without"]]
        for name in files:
            path = f"{directory}/{name}"
            try:
                status = os.lstat(path)
                if not stat.S_ISREG(status.st_mode) or status.st_size > LARGE:
                    continue
                with open(path, "rb") as stream:
                    text = stream.read()
            except OSError:  # it ended meanwhile
                continue
            looked_at += 1
            if any(word in text for word in words):
                found.append(path)
print(json.dumps({"looked_at": looked_at, "found": found}))
