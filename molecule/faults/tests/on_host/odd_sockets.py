# SPDX-License-Identifier: GPL-3.0-or-later
"""Listen at sockets of these names, which are no paths, until the input ends.

names: of them. It says "ready"; answers how many there were.
"""

import json
import socket
import sys

asked = json.loads(sys.stdin.readline())
held = []
for name in asked["names"]:
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].bind(f"\0{name}")
    held[-1].listen()
print("ready", flush=True)
sys.stdin.read()
json.dump(len(held), sys.stdout)
