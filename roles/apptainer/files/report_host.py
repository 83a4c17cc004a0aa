# SPDX-License-Identifier: GPL-3.0-or-later
"""Report what this host offers to apptainer: users, namespaces, FUSE, storage, packages.

Reads only. Run as root: ``python3 report_host.py ROOT USER...``; prints one JSON object.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOBODY = 65534
SYSCTL_DIRECTORIES = ("etc", "run", "usr/local/lib", "usr/lib")
NAMESPACES = (
    "user.max_user_namespaces",
    "user.max_net_namespaces",
    "kernel.unprivileged_userns_clone",
)
TARGET = "$(REPO_URI)\t$(CODENAME)\t$(COMPONENT)\t$(CREATED_BY)\t$(SIGNED_BY)"


def output(*argv: str) -> str:
    """What a program wrote; nothing where it is missing or failed."""
    if shutil.which(argv[0]) is None:
        return ""
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def sysctl(name: str) -> int | None:
    """The kernel's value, or None where this kernel has no such setting."""
    try:
        return int(Path("/proc/sys", *name.split(".")).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


def configured_in(name: str) -> list[str]:
    """The files in which an administrator, or a package, sets the value."""
    files = [Path("/etc/sysctl.conf")]
    for directory in SYSCTL_DIRECTORIES:
        files += sorted(Path("/", directory, "sysctl.d").glob("*.conf"))
    setting = re.compile(rf"^\s*-?{re.escape(name)}\s*=", re.MULTILINE)
    found = [file for file in files if file.is_file()]
    return [str(file) for file in found if setting.search(file.read_text(errors="replace"))]


def user_namespace() -> str:
    """Make a user namespace as an ordinary user would; what was said, or ''."""
    nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    probe = ["unshare", "--user", "--map-root-user", "--net", "true"]
    done = subprocess.run([*nobody, *probe], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


def fuse() -> str:
    """What is wrong with the device through which images are mounted, or ''."""
    device = Path("/dev/fuse")
    try:
        mode = device.stat().st_mode
    except FileNotFoundError:
        return f"{device} is missing"
    if not stat.S_ISCHR(mode):
        return f"{device} is not a device"
    return "" if mode & 0o006 == 0o006 else f"{device} has mode {stat.S_IMODE(mode):04o}"


def mounts() -> Iterator[tuple[str, str, list[str]]]:
    """Mount points, file systems and options, the later ones on top of the earlier ones."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _dash, right = line.partition(" - ")
        fields = left.split()
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        yield point, right.split()[0], fields[5].split(",")


def storage(path: str) -> dict[str, Any]:
    """The file system that holds the path, or would hold it."""
    real = os.path.realpath(path)
    found: tuple[str, str, list[str]] = ("/", "unknown", [])
    for point, kind, options in mounts():
        below = real == point or real.startswith(point.rstrip("/") + "/")
        if below and kind != "autofs" and len(point) >= len(found[0]):
            found = (point, kind, options)
    return {"mount_point": found[0], "file_system": found[1], "noexec": "noexec" in found[2]}


def owned(directory: Path, user: pwd.struct_passwd) -> bool:
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return False
    right = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o700
    return right and (status.st_uid, status.st_gid) == (user.pw_uid, user.pw_gid)


def report_user(name: str, root: str) -> dict[str, Any]:
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return {"name": name, "known": False}
    own = Path(root, str(user.pw_uid))
    return {
        "name": name,
        "known": True,
        "uid": user.pw_uid,
        "gid": user.pw_gid,
        "directories_right": all(owned(path, user) for path in (own, own / "cache", own / "tmp")),
    }


def apt_offers() -> list[dict[str, str]]:
    """The versions of apptainer in the package lists, and the suites that have them."""
    rows = (line.split("|") for line in output("apt-cache", "madison", "apptainer").splitlines())
    found = ((version.strip(), source.split()) for _name, version, source in rows)
    return [
        {"version": version, "site": source[0], "suite": source[1].split("/")[0]}
        for version, source in found
        if source[-1] == "Packages"
    ]


def apt_installed() -> str:
    """The version of apptainer that is installed, or nothing."""
    form = "--showformat=${db:Status-Status} ${Version}"
    status, _space, version = output("dpkg-query", "--show", form, "apptainer").partition(" ")
    return version.strip() if status == "installed" else ""


def apt_mirrors() -> list[dict[str, str]]:
    """Where this host gets its packages from, by its own configuration."""
    lines = output("apt-get", "indextargets", "--format", TARGET).splitlines()
    rows = (line.split("\t") for line in lines)
    return [
        {"uri": uri, "codename": codename, "signed_by": "" if signed[:1] == "$" else signed}
        for uri, codename, component, made_by, signed in rows
        if component == "main" and made_by == "Packages"
    ]


def main(root: str, names: list[str]) -> None:
    restricted = sysctl("kernel.apparmor_restrict_unprivileged_userns") == 1
    print(
        json.dumps(
            {
                "sysctl": {name.split(".")[1]: sysctl(name) for name in NAMESPACES},
                "sysctl_files": {name.split(".")[1]: configured_in(name) for name in NAMESPACES},
                "user_namespace_said": "" if restricted else user_namespace(),
                "apparmor_restricts_userns": restricted,
                "fuse_said": fuse(),
                "storage": storage(root),
                "offers": apt_offers(),
                "installed": apt_installed(),
                "mirrors": apt_mirrors(),
                "users": [report_user(name, root) for name in names],
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
