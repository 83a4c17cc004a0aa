# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the standard output of what runs with this user's rights for root, and write there for ever.

word: in its arguments. It says "ready", and ends when its input ends or nobody reads any more;
answers how that was.
"""

import contextlib
import ctypes
import json
import os
import sys
import threading

PIDFD_GETFD = 438

asked = json.loads(sys.stdin.readline())
over = threading.Event()
libc = ctypes.CDLL(None, use_errno=True)


def wait_for_the_end() -> None:
    sys.stdin.read()
    over.set()


def output_of(pid: int) -> int:
    """A descriptor for its standard output; -1 if it is none of ours."""
    with open(f"/proc/{pid}/cmdline", "rb") as stream:
        if asked["word"].encode() not in stream.read():
            return -1
    process = os.pidfd_open(pid)
    try:
        return int(libc.syscall(PIDFD_GETFD, process, 1, 0))
    finally:
        os.close(process)


threading.Thread(target=wait_for_the_end, daemon=True).start()
print("ready", flush=True)
taken, ended = -1, ""
while taken < 0 and not over.is_set():
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.getuid():
                taken = output_of(int(name))
                if taken >= 0:
                    break
try:
    while taken >= 0 and not over.is_set():
        os.write(taken, b"x" * 65536)
except OSError as error:
    ended = str(error.strerror)
json.dump({"taken": taken >= 0, "ended": ended}, sys.stdout)
