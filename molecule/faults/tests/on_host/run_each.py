# SPDX-License-Identifier: GPL-3.0-or-later
"""Run commands, one after the other or all at once; answers [[status, both outputs, seconds], ...].

commands: [{argv, stdin}]; at_once: start all before the first is waited for.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any, BinaryIO

Started = tuple["subprocess.Popen[bytes]", BinaryIO, float]


def start(command: dict[str, Any]) -> Started:
    argv, stdin = command["argv"], command.get("stdin", "").encode("utf-8", "surrogateescape")
    said = os.fdopen(os.memfd_create("said"), "w+b")
    with os.fdopen(os.memfd_create("given"), "w+b") as given:
        given.write(stdin)
        given.seek(0)
        child = subprocess.Popen(argv, stdin=given, stdout=said, stderr=subprocess.STDOUT)
    return child, said, time.monotonic()


def end(child: subprocess.Popen[bytes], said: BinaryIO, begun: float) -> list[object]:
    status = child.wait()
    seconds = time.monotonic() - begun
    said.seek(0)
    return [status, said.read().decode("utf-8", "surrogateescape"), seconds]


asked = json.loads(sys.stdin.readline())
if asked.get("at_once"):
    print(json.dumps([end(*started) for started in [start(c) for c in asked["commands"]]]))
else:
    print(json.dumps([end(*start(command)) for command in asked["commands"]]))
