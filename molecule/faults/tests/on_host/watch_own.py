# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a command many times, and measure for how long its arguments hold a word.

argv, times; word. Answers [[milliseconds visible, exit status, both outputs], ...].
"""

import json
import subprocess
import sys
import time

asked = json.loads(sys.stdin.readline())
word = asked["word"].encode()
answers = []
for _ in range(asked["times"]):
    begun = time.monotonic()
    child = subprocess.Popen(asked["argv"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    last = begun
    hidden = 0
    while hidden < 200 and child.poll() is None:
        with open(f"/proc/{child.pid}/cmdline", "rb") as stream:
            line = stream.read()
        if word in line:
            last, hidden = time.monotonic(), 0
        else:
            hidden += 1
    said, _none = child.communicate()
    answers.append([round(1000 * (last - begun), 1), child.returncode, said.decode()])
print(json.dumps(answers))
