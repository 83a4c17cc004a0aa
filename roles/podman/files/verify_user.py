# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a container the way a researcher would, with an image made on the spot, and report on it.

Run as the user: ``python3 verify_user.py IMAGE [SETTINGS]``, with what the ces commands put against
a containers.conf that breaks their promise; prints one JSON object. The image holds the
host's own shell and a few programs with their libraries: nothing is fetched, nothing stays behind.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

PROGRAMS = ("sh", "id", "cat")
SCRIPT = "id -u && cat /proc/self/uid_map && echo written by the container > /out/proof"
ACCEPT_ANYTHING = {"default": [{"type": "insecureAcceptAnything"}]}
STORAGE = Path("/etc/ces/container_storage.json")
"""Role container_storage says here where users' directories are."""


class Failed(Exception):
    """A command did not do what it should; its arguments and what it said."""


def run(*argv: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip() or "nothing"
        raise Failed(f"{' '.join(argv)}: status {done.returncode}, it said: {said}")
    return done.stdout.decode()


def find(program: str) -> Path:
    for directory in ("/usr/bin", "/bin"):
        if Path(directory, program).exists():
            return Path(directory, program)
    raise Failed(f"{program} is neither in /usr/bin nor in /bin")


def libraries(program: Path) -> set[str]:
    return set(re.findall(r"(/\S+) \(0x", run("ldd", str(program))))


def root_file_system() -> bytes:
    """A tar archive with the programs and the libraries they are linked with."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        names: set[str] = set()
        for program in map(find, PROGRAMS):
            tar.add(program, f"bin/{program.name}")
            names |= libraries(program)
        for name in sorted(names):
            tar.add(name, name.lstrip("/"))
        for directory in ("out", "proc", "dev", "sys", "tmp", "etc", "run"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    return archive.getvalue()


def delegated() -> list[str] | None:
    """The cgroup controllers that the user's session may use; None with cgroup v1."""
    uid = os.getuid()
    session = f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
    try:
        return Path(session).read_text(encoding="ascii").split()
    except FileNotFoundError:
        return None


def run_container(image: str, settings: str) -> dict[str, Any]:
    """Import the image, run it with a directory mounted, look at both sides, remove the image."""
    with tempfile.TemporaryDirectory(prefix="tre-ces-verify-", dir=Path.home()) as name:
        policy, out = Path(name, "policy.json"), Path(name, "out")
        if settings:
            override = Path(name, "containers.conf")
            override.write_text(settings, encoding="utf-8")
            os.environ["CONTAINERS_CONF_OVERRIDE"] = str(override)
        policy.write_text(json.dumps(ACCEPT_ANYTHING), encoding="utf-8")
        out.mkdir()
        accept = ("--quiet", "--signature-policy", str(policy))
        run("podman", "import", *accept, "-", image, stdin=root_file_system())
        try:
            options = ["--rm", "--pull=never", "--network=none", "--security-opt=label=disable"]
            mount = f"--volume={out}:/out"
            answer = run("podman", "run", *options, mount, image, "/bin/sh", "-c", SCRIPT)
        finally:
            run("podman", "rmi", image)
        proof = out / "proof"
        uid, *id_map = answer.splitlines()
        return {
            "uid_inside": int(uid),
            "ids": sum(int(line.split()[2]) for line in id_map),
            "written": proof.read_text(encoding="utf-8").strip(),
            "owner": proof.stat().st_uid,
        }


def keep_off_home() -> None:
    """As the ces commands do it: or podman's database of layers would be in the home directory."""
    own = Path.home() / ".config/containers/storage.conf"
    if STORAGE.exists() and not own.exists():
        root = json.loads(STORAGE.read_text(encoding="utf-8"))["storage_root"]
        os.environ["XDG_DATA_HOME"] = f"{root}/{os.getuid()}/data"


def main(image: str, settings: str = "") -> None:
    keep_off_home()
    info = json.loads(run("podman", "info", "--format=json"))
    store, host = info["store"], info["host"]
    report = {
        "version": info["version"]["Version"],
        "runtime": host["ociRuntime"]["name"],
        "rootless": host["security"]["rootless"],
        "driver": store["graphDriverName"],
        "native_overlay": "mount_program" not in json.dumps(store["graphOptions"] or {}),
        "graph_root": store["graphRoot"],
        "run_root": store["runRoot"],
        "controllers": delegated(),
        "uid": os.getuid(),
        **run_container(image, settings),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failed as failure:
        sys.exit(str(failure))
