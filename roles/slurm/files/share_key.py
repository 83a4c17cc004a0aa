# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the key of munge the one that comes, in base64, on standard input.

Run as root: ``python3 share_key.py compare|install FILE ACCOUNT``; prints "same" or "differs".
The key itself is never printed and never an argument.
"""

from __future__ import annotations

import base64
import os
import pwd
import sys
from pathlib import Path


def write(file: Path, key: bytes, account: str) -> None:
    """Replace the file as a whole: munged may read it at any moment."""
    owner = pwd.getpwnam(account)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    try:
        with open(descriptor, "wb") as stream:
            os.fchown(descriptor, owner.pw_uid, owner.pw_gid)
            stream.write(key)
            stream.flush()
            os.fsync(descriptor)
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def main(mode: str, file: Path, account: str) -> None:
    key = base64.b64decode(sys.stdin.read(), validate=False)
    if file.exists() and file.read_bytes() == key:
        print("same")
        return
    if mode == "install":
        write(file, key, account)
    print("differs")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
