# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a host's administrator sees of its configuration, as JSON on standard output.

Of each path its kind, mode, owner, group, and the text of a file or what a link leads to.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import stat
from collections.abc import Iterator

PLACES = ("/etc", "/usr/local", "/var/lib/systemd/linger", "/var/lib/tre-ces")
USERS = "/var/lib/tre-ces/containers"
"""What is below this is the users' own."""


def main() -> None:
    print(json.dumps({path: described(path) for place in PLACES for path in below(place)}))


def below(place: str) -> Iterator[str]:
    for directory, directories, files in os.walk(place):
        if directory == USERS:
            directories.clear()
            continue
        yield directory
        for name in (*files, *directories):
            path = f"{directory}/{name}"
            if name in files or os.path.islink(path):
                yield path


def described(path: str) -> list[str]:
    status = os.lstat(path)
    kind, content = "directory", ""
    if stat.S_ISLNK(status.st_mode):
        kind, content = "link", os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        with open(path, "rb") as stream:
            kind, content = "file", hashlib.sha256(stream.read()).hexdigest()
    owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
    return [kind, oct(stat.S_IMODE(status.st_mode)), owner, group, content]


if __name__ == "__main__":
    main()
