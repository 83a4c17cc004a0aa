# SPDX-License-Identifier: GPL-3.0-or-later
"""Time on the host it runs on, as root: containers of many users, proved and bare, in turns.

Standard input: JSON ``{"repeats": N, "users": [NAME, ...]}``. Standard output: JSON
``{"ours": [SECONDS, ...], "bare": [SECONDS, ...]}``. Both have as many at once as there are
processors. The image of both is the host's own shell; the bare ones have it in their storage.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, "/usr/local/lib/tre-ces")
from ces.services.errands import run_errands
from ces.services.verify import container_errands
from ces.system.host.small_root import make_root
from ces.system.process import SystemProcess

IMAGE = "localhost/bench-verification"
BARE = ("podman", "run", "--rm", "--network=none", "--pull=never", IMAGE, "/bin/sh", "-c", ":")
ACCEPT = {"default": [{"type": "insecureAcceptAnything"}]}


def ours(users: list[str]) -> None:
    failed = [
        one for one in run_errands(container_errands(users, ["podman"])) if one.outcome == "failed"
    ]
    if failed:
        sys.exit(f"{failed[0].user}: {failed[0].finding}")


def bare(users: list[str]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda name: podman(name, BARE), users))


def podman(name: str, argv: Sequence[str], stdin: bytes = b"") -> None:
    user = pwd.getpwnam(name)
    environ = {
        "HOME": user.pw_dir,
        "PATH": "/usr/bin:/bin",
        "XDG_RUNTIME_DIR": f"/run/user/{user.pw_uid}",
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/run/user/{user.pw_uid}/bus",
    }
    subprocess.run(
        argv,
        input=stdin,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=(),
        env=environ,
        cwd="/",
        capture_output=True,
        check=True,
    )


def give_image(users: list[str], place: str) -> None:
    """The users have the image in their storage, whatever the site's policy says of imports."""
    make_root(f"{place}/root", SystemProcess())
    policy = f"{place}/policy.json"
    with open(policy, "w", encoding="ascii") as stream:
        json.dump(ACCEPT, stream)
    os.chmod(place, 0o755)  # noqa: S103  users read it
    pack = ("tar", "--create", "--directory", f"{place}/root", ".")
    packed = subprocess.run(pack, capture_output=True, check=True).stdout
    for name in users:
        podman(name, ("podman", "import", f"--signature-policy={policy}", "-", IMAGE), packed)


def main() -> None:
    job = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as place:
        give_image(job["users"], place)
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(job["repeats"] + 1):
        for name, work in (("ours", ours), ("bare", bare)):
            begun = time.perf_counter()
            work(job["users"])
            if turn > 0:  # the first turn warms what the others find warm
                times[name].append(time.perf_counter() - begun)
    for name in job["users"]:
        podman(name, ("podman", "rmi", IMAGE))
    json.dump(times, sys.stdout)


if __name__ == "__main__":
    main()
