# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a command many times, and kill each after its own delay; answers their exit statuses.

argv: the command; signal: its number; delays: seconds, one for each.
"""

import json
import subprocess
import sys
import time

asked = json.loads(sys.stdin.readline())
statuses = []
for delay in asked["delays"]:
    child = subprocess.Popen(
        asked["argv"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(delay)
    child.send_signal(asked["signal"])
    statuses.append(child.wait())
print(json.dumps(statuses))
