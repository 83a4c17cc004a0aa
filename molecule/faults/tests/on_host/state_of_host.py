# SPDX-License-Identifier: GPL-3.0-or-later
"""All that the roles are to settle on a host: what is in files, and whether what runs has it.

root: of users' storage. delete: on a registry's host, a path of the registry at which nothing is,
with host, ca and authorization. Answers texts by names, the same for two hosts in the same state.
"""

import hashlib
import http.client
import json
import os
import pwd
import ssl
import stat
import subprocess
import sys
from pathlib import Path

DIRECTORIES = ("apt", "ces", "containers", "docker", "profile.d", "sysctl.d", "tmpfiles.d")
FILES = ("/etc/subuid", "/etc/subgid", "/usr/local/lib/tre-ces", "/usr/local/bin/ces-run")
MADE_ANEW = ("htpasswd", ".crt", ".key")
"""Ends of names of files that differ each time that they are made."""
PROPERTIES = "ActiveState,UnitFileState,NeedDaemonReload,Delegate,DelegateControllers"
asked = json.loads(sys.stdin.readline())
people = [one for one in pwd.getpwall() if 2000 < one.pw_uid < 3000]


def state_of(path: Path) -> str:
    status = path.lstat()
    what = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if path.is_symlink():
        return f"{what} {os.readlink(path)}"
    if not path.is_file() or path.name.endswith(MADE_ANEW):
        return what
    return f"{what} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


def files() -> list[Path]:
    trees = [Path("/etc", name) for name in (*DIRECTORIES, "systemd/system")]
    users = [Path(asked["root"], str(one.pw_uid), name) for one in people for name in ("", "data")]
    there = [*(path for tree in trees for path in tree.rglob("*")), *map(Path, FILES), *users]
    return sorted(path for path in there if path.exists())


def unit(name: str) -> str:
    argv = ["systemctl", "show", f"--property={PROPERTIES}", name]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def session(person: pwd.struct_passwd) -> str:
    bus = Path(f"/run/user/{person.pw_uid}/bus").exists()
    return f"bus: {bus}, lingers: {Path('/var/lib/systemd/linger', person.pw_name).exists()}"


def ids(person: pwd.struct_passwd) -> str:
    """Those that podman works with, if it runs, and those that the user is given."""
    pause = Path(f"/run/user/{person.pw_uid}/libpod/tmp/pause.pid")
    mapped = Path(f"/proc/{pause.read_text()}/uid_map") if pause.exists() else pause
    used = [line.split()[1:] for line in lines_of(mapped)[1:]]
    given = [line.split(":") for line in lines_of(Path("/etc/subuid"))]
    own = [words[1:] for words in given if words[0] == person.pw_name]
    return "as given" if used in ([], own) else f"{used} are in use, {own} are given"


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def deletes() -> str:
    context = ssl.create_default_context(cafile=asked["ca"])
    connection = http.client.HTTPSConnection(asked["host"], context=context)
    headers = {"Authorization": asked["authorization"]}
    connection.request("DELETE", asked["delete"], headers=headers)
    return str(connection.getresponse().status)


found = {str(path): state_of(path) for path in files()}
for one in people:
    found[f"unit of {one.pw_name}"] = unit(f"user@{one.pw_uid}")
    found[f"session of {one.pw_name}"] = session(one)
    found[f"ids of {one.pw_name}"] = ids(one)
if "delete" in asked:
    found["unit of the registry"] = unit("docker-registry")
    found["the registry, to delete what is not there"] = deletes()
print(json.dumps(found))
