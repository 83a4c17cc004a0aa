# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at all processes of a host until its input ends, and says which had a secret in sight.

    python3 processes.py        says "ready"; the secret is the last line of its input

In sight of everybody: arguments. In sight of the user and root: environments.
"""

from __future__ import annotations

import json
import os
import sys
import threading


def look(seen: dict[bytes, None]) -> None:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for what in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{what}", "rb") as file:
                    seen[what.encode() + b" " + file.read()] = None
            except OSError:
                continue


def main() -> None:
    seen: dict[bytes, None] = {}
    over = threading.Event()

    def keep_looking() -> None:
        while not over.wait(0.01):
            look(seen)

    watcher = threading.Thread(target=keep_looking)
    watcher.start()
    print("ready", flush=True)
    secret = sys.stdin.read().strip().encode()
    over.set()
    watcher.join()
    found = [
        text.decode(errors="replace").replace("\0", " ")[:200] for text in seen if secret in text
    ]
    print(json.dumps({"looked_at": len(seen), "found": found}))


main()
