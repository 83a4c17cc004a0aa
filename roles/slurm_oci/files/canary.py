# SPDX-License-Identifier: GPL-3.0-or-later
"""Run jobs on this node that show whether Slurm does for containers what it was told to.

Run as root: ``python3 canary.py USER NODE [OPTION...]``, with more options for srun; prints one
JSON object. The first job runs in a bundle, made on the spot of this host's own programs, and shows
a word that is only in there: Slurm ignores ``--container`` silently where it has no oci.conf. The
second one shows what the programs around jobs did. Nothing stays.
"""

from __future__ import annotations

import json
import pwd
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, "/usr/local/lib/tre-ces-slurm")

from as_user import run_as  # the path must be set first; the role has just written it

ROOT = "/var/lib/tre-ces"
SECONDS = 120
"""For a job; ``--immediate`` is sooner where the node is busy."""
BUSY = ("Requested nodes are busy", "Requested partition configuration not available now")
IN_BUNDLE = "cat /canary; id -u"
AROUND = (
    'test -w "$XDG_RUNTIME_DIR" && echo run-directory;'
    ' test -r "$CONTAINERS_CONF_OVERRIDE" && echo containers-conf; true'
)


def mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def configuration(user: pwd.struct_passwd) -> dict[str, Any]:
    """The host's /usr, read-only, and nothing else of it."""
    alone = ("nosuid", "nodev")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/usr/bin/true"],
            "env": ["PATH=/usr/bin"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [
            mount("/proc", "proc", "proc"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid", "mode=755", "size=64k"),
            mount("/usr", "bind", "/usr", "bind", "ro", *alone),
            # where Slurm puts its own
            mount("/tmp", "tmpfs", "tmpfs", *alone),  # noqa: S108  # in the container
            mount("/run", "tmpfs", "tmpfs", *alone),
            mount("/var", "tmpfs", "tmpfs", *alone),
        ],
        "linux": {
            "namespaces": [{"type": name} for name in ("pid", "ipc", "uts", "mount", "user")],
            "uidMappings": [{"containerID": 0, "hostID": user.pw_uid, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": user.pw_gid, "size": 1}],
        },
    }


def make_bundle(bundle: Path, user: pwd.struct_passwd, word: str) -> None:
    bundle.chmod(0o755)
    rootfs = bundle / "rootfs"
    for directory in ("proc", "dev", "usr", "tmp", "run", "var"):
        (rootfs / directory).mkdir(parents=True)
    for directory in ("bin", "lib", "lib64"):
        (rootfs / directory).symlink_to(f"usr/{directory}")
    (rootfs / "canary").write_text(f"{word}\n", encoding="ascii")
    (bundle / "config.json").write_text(json.dumps(configuration(user)), encoding="utf-8")


def partition_of(node: str) -> str:
    argv = ["sinfo", "--noheader", f"--nodes={node}", "--format=%R"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    names = done.stdout.split()
    if not names:
        sys.exit(f"{node} is in no partition (sinfo)")
    return names[0]


def run_job(user: pwd.struct_passwd, options: list[str], script: str) -> dict[str, Any]:
    argv = ["srun", "--nodes=1", "--ntasks=1", "--mem=64", "--time=1", "--immediate=30"]
    argv += ["--chdir=/", "--job-name=tre-ces-check", *options, "/bin/sh", "-c", script]
    environ = {"PATH": "/usr/bin:/bin", "HOME": user.pw_dir, "USER": user.pw_name}
    try:
        done = run_as(user, argv, environ, SECONDS)
    except subprocess.TimeoutExpired as reason:
        return {"words": [], "said": str(reason), "status": None, "busy": False}
    return {
        "words": done.stdout.split(),
        "said": done.stderr.strip(),
        "status": done.status,
        "busy": any(reason in done.stderr for reason in BUSY),
    }


def main(name: str, node: str, options: list[str]) -> None:
    user = pwd.getpwnam(name)
    word = secrets.token_hex(8)
    options = [f"--nodelist={node}", f"--partition={partition_of(node)}", *options]
    Path(ROOT).mkdir(mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="slurm-canary-", dir=ROOT) as directory:
        make_bundle(Path(directory), user, word)
        bundle = run_job(user, [*options, f"--container={directory}"], IN_BUNDLE)
    around = run_job(user, options, AROUND)
    print(
        json.dumps(
            {
                "busy": bundle["busy"] or around["busy"],
                "in_bundle": bundle["words"] == [word, "0"],
                "bundle": bundle,
                "around": around,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
