# SPDX-License-Identifier: GPL-3.0-or-later
"""Report what this host offers to rootless podman: users, user namespaces, id mapping, cgroups.

Reads only. Run as root: ``python3 report_host.py USER...``; prints one JSON object.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import stat
import sys
from pathlib import Path
from typing import Any

SYSCTL_DIRECTORIES = (
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
)
ID_MAPPERS = {"newuidmap": "cap_setuid", "newgidmap": "cap_setgid"}
CAPABILITY_BITS = {"cap_setgid": 6, "cap_setuid": 7}


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
        files += sorted(Path(directory).glob("*.conf"))
    setting = re.compile(rf"^\s*-?{re.escape(name)}\s*=", re.MULTILINE)
    found = [file for file in files if file.is_file()]
    return [str(file) for file in found if setting.search(file.read_text(errors="replace"))]


def id_mapper(name: str) -> str:
    """What is wrong with newuidmap or newgidmap, or ''."""
    file = Path("/usr/bin", name)
    if not file.exists():
        return f"{file} is missing"
    if os.statvfs(file).f_flag & os.ST_NOSUID:
        return f"{file} lies on a filesystem mounted nosuid"
    status = file.stat()
    if status.st_uid != 0:
        return f"{file} does not belong to root"
    setuid_root = bool(status.st_mode & stat.S_ISUID)
    if not setuid_root and not has_capability(file, ID_MAPPERS[name]):
        return f"{file} is neither setuid root nor has {ID_MAPPERS[name]}"
    return ""


def has_capability(file: Path, capability: str) -> bool:
    """Whether the file's permitted and effective capabilities include it (see capabilities(7))."""
    try:
        value = os.getxattr(file, "security.capability")
    except OSError:
        return False
    effective = value[0] & 1
    permitted = int.from_bytes(value[4:8], "little")
    return bool(effective and permitted >> CAPABILITY_BITS[capability] & 1)


def cgroups() -> dict[str, Any]:
    root = Path("/sys/fs/cgroup")
    controllers = root / "cgroup.controllers"
    if controllers.is_file():
        return {"version": "v2", "controllers": controllers.read_text(encoding="ascii").split()}
    hybrid = (root / "unified").is_dir()
    return {"version": "hybrid" if hybrid else "v1", "controllers": []}


def report_user(name: str) -> dict[str, Any]:
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return {"name": name, "known": False}
    return {
        "name": name,
        "known": True,
        "uid": user.pw_uid,
        "lingers": Path("/var/lib/systemd/linger", name).exists()
        and Path("/run/user", str(user.pw_uid), "bus").exists(),
    }


def main(names: list[str]) -> None:
    networks = "user.max_net_namespaces"
    restricted = sysctl("kernel.apparmor_restrict_unprivileged_userns") == 1
    print(
        json.dumps(
            {
                "max_user_namespaces": sysctl("user.max_user_namespaces"),
                "max_net_namespaces": sysctl(networks),
                "max_net_namespaces_in": configured_in(networks),
                "unprivileged_userns_clone": sysctl("kernel.unprivileged_userns_clone"),
                "apparmor_restricts_userns": restricted,
                "apparmor_profile": Path("/etc/apparmor.d/podman").exists(),
                "id_mappers": [said for said in map(id_mapper, ID_MAPPERS) if said],
                "cgroups": cgroups(),
                "users": [report_user(name) for name in names],
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
