# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a bundle as a user would by hand: with skopeo, umoci and an editor. Runs on the host.

``python3 bundle_by_hand.py IMAGE`` in a directory that has ``outputs`` and ``scratch``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PLACES = {"/safe_data": "/safe_data/proj1", "/safe_outputs": "outputs", "/scratch": "scratch"}


def main(image: str) -> None:
    for name in ("layout", "bundle"):
        shutil.rmtree(name, ignore_errors=True)
    run("skopeo", "copy", "--quiet", f"docker://{image}", "oci:layout:image")
    run("umoci", "unpack", "--rootless", "--image", "layout:image", "bundle")
    file = Path("bundle/config.json")
    config = json.loads(file.read_text())
    config["process"]["terminal"] = False
    spaces = config["linux"]["namespaces"]
    kept = [space for space in spaces if space["type"] not in ("network", "cgroup")]
    config["linux"]["namespaces"] = [*kept, {"type": "network"}]
    for target, source in PLACES.items():
        mount = {"destination": target, "type": "bind", "source": os.path.abspath(source)}
        config["mounts"].append({**mount, "options": ["rbind"]})
    file.write_text(json.dumps(config))


def run(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(sys.argv[1])
