# SPDX-License-Identifier: GPL-3.0-or-later
"""await_server.py HOST PORT PATH PID: waits until a page is there.

Ends with 1 if the process has ended before, or nothing comes.
"""

from __future__ import annotations

import http.client
import sys
import time

LONGEST = 300
"""Seconds. The image is there already: what takes long is a slow file system."""


def answers(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def runs(pid: int) -> bool:
    """A child that has ended is there until its parent, a shell that waits for us, asks for it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main(host: str, port: int, path: str, pid: int) -> int:
    end = time.monotonic() + LONGEST
    while runs(pid) and time.monotonic() < end:
        if answers(host, port, path):
            return 0
        time.sleep(0.2)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
