# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command, drain its outputs, and answer what it was at its largest.

argv, stdin: the command. Answers {status, seconds, peak (KiB), bytes (of standard output)}.
"""

import json
import os
import subprocess
import sys
import threading
import time
from typing import IO


def peak_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status") as stream:
            for line in stream:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def drain(stream: IO[bytes], counted: list[int]) -> None:
    while True:
        chunk = os.read(stream.fileno(), 1 << 16)
        if not chunk:
            return
        counted.append(len(chunk))


asked = json.loads(sys.stdin.readline())
begun = time.monotonic()
child = subprocess.Popen(
    asked["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
)
assert child.stdin and child.stdout
child.stdin.write(asked.get("stdin", "").encode())
child.stdin.close()
counted: list[int] = []
reader = threading.Thread(target=drain, args=(child.stdout, counted))
reader.start()
peak = 0
while child.poll() is None:
    peak = max(peak, peak_of(child.pid))
    time.sleep(0.02)
reader.join()
seconds = time.monotonic() - begun
answer = {"status": child.returncode, "seconds": seconds, "peak": peak, "bytes": sum(counted)}
print(json.dumps(answer))
