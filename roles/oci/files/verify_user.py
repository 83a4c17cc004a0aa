# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a container with crun the way a researcher would, and report on it.

Run as the user: ``python3 verify_user.py``; prints one JSON object. The image is the host's own
shell with its libraries: nothing is fetched, nothing stays behind.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PLACES = "/etc/ces/container_storage.json"
SCRIPT = (
    "id -u && cat /proc/net/dev && echo x > /usr/written && "
    "echo written by the container > /out/proof"
)


class Failed(Exception):
    """A command did not do what it should; its arguments and what it said."""


def storage(uid: int) -> str:
    """Where this user's containers write: on a local disk, as the role container_storage says."""
    try:
        root = json.loads(Path(PLACES).read_text(encoding="utf-8"))["storage_root"]
        own = f"{root}/{uid}/data"
    except (OSError, KeyError, ValueError):
        own = ""
    return own if os.path.isdir(own) else str(Path.home())


def config(work: Path, uid: int, gid: int) -> dict[str, Any]:
    """A bundle as the commands make it: one id, no network, a layer over the image's files."""
    layer = [f"lowerdir={work}/image", f"upperdir={work}/upper", f"workdir={work}/work"]
    mounts = [
        {"destination": "/usr", "type": "overlay", "options": [*layer, "userxattr"]},
        {"destination": "/proc", "type": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
        {"destination": "/out", "type": "bind", "source": str(work / "out"), "options": ["rbind"]},
    ]
    namespaces = ("user", "mount", "pid", "ipc", "uts", "network")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/usr/bin/sh", "-c", SCRIPT],
            "env": ["PATH=/usr/bin"],
            "cwd": "/",
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": str(work / "root")},
        "mounts": [{"source": mount["type"], **mount} for mount in mounts],
        "linux": {
            "namespaces": [{"type": kind} for kind in namespaces],
            "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
        },
    }


def image(directory: Path) -> list[str]:
    """Programs and the libraries they are linked with; the links beside /usr that they need."""
    (directory / "bin").mkdir(parents=True)
    beside: set[str] = set()
    for program in ("sh", "id", "cat"):
        found = shutil.which(program, path="/usr/bin:/bin")
        if found is None:
            raise Failed(f"{program} is neither in /usr/bin nor in /bin")
        shutil.copy(found, directory / "bin" / program)
        linked = subprocess.run(["ldd", found], capture_output=True, text=True, check=True)
        for word in linked.stdout.split():
            if word.startswith("/"):
                library = Path(word)
                place = directory.joinpath(*library.parts[2 if library.parts[1] == "usr" else 1 :])
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, place)
                beside.add(library.parts[1])
    return sorted(beside - {"usr"})


def run_container(work: Path) -> dict[str, Any]:
    """Make the bundle without any privilege, run it, look at both sides."""
    uid, gid = os.getuid(), os.getgid()
    for name in ("root", "out", "upper", "work", "state"):
        (work / name).mkdir()
    for name in image(work / "image"):
        (work / "root" / name).symlink_to(f"usr/{name}")
    (work / "config.json").write_text(json.dumps(config(work, uid, gid)), encoding="utf-8")
    argv = ["crun", f"--root={work}/state", "--cgroup-manager=disabled", "run"]
    done = subprocess.run(
        [*argv, f"--bundle={work}", "verify"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Failed(f"crun run: status {done.returncode}, it said: {done.stderr.strip()}")
    seen, *network = done.stdout.splitlines()
    proof = work / "out" / "proof"
    return {
        "uid": uid,
        "uid_inside": int(seen),
        "interfaces": [line.split(":")[0].strip() for line in network if ":" in line],
        "written": proof.read_text(encoding="utf-8").strip(),
        "owner": proof.stat().st_uid,
        "changed": (work / "image" / "written").exists(),
    }


def main() -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="ces-verify-", dir=storage(os.getuid())) as work:
            print(json.dumps(run_container(Path(work))))
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
