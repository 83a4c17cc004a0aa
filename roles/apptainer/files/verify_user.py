# SPDX-License-Identifier: GPL-3.0-or-later
"""Make an image and run it with apptainer the way a researcher would, and report on it.

Run as the user: ``python3 verify_user.py DIRECTORY``, which holds the directories cache and tmp of
this user; prints one JSON object. The image holds the host's own shell and two programs with their
libraries: nothing is fetched, nothing stays behind.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

PROGRAMS = ("sh", "id", "cat")
EMPTY = ("dev", "proc", "sys", "tmp", "var/tmp", "etc", "out")
SCRIPT = "id -u && cat /proc/net/dev && echo written by the container > /out/proof"
HOME = 'if test -e "$1"; then echo visible; else echo hidden; fi'


class Failed(Exception):
    """A command did not do what it should; its arguments and what it said."""


def run(*argv: str, directories: Mapping[str, Path] = MappingProxyType({})) -> tuple[str, str]:
    """What the command wrote and what it said. Nothing the caller set for apptainer counts."""
    given = {"PATH", "HOME", "USER", "LANG"} & os.environ.keys()
    env = {name: os.environ[name] for name in given}
    env |= {f"APPTAINER_{name}": str(directory) for name, directory in directories.items()}
    done = subprocess.run(
        argv, capture_output=True, text=True, errors="replace", env=env, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip() or "nothing"
        raise Failed(f"{' '.join(argv)}: status {done.returncode}, it said: {said}")
    return done.stdout, done.stderr


def root_file_system(root: Path) -> None:
    """Programs and the libraries they are linked with, where the programs look for them."""
    for directory in (*EMPTY, "bin"):
        (root / directory).mkdir(parents=True)
    for program in PROGRAMS:
        found = shutil.which(program, path="/usr/bin:/bin")
        if found is None:
            raise Failed(f"{program} is neither in /usr/bin nor in /bin")
        shutil.copy(found, root / "bin" / program)
        linked, _said = run("ldd", found)
        for library in re.findall(r"(/\S+) \(0x", linked):
            place = root / library.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)


def run_container(own: Path, work: Path) -> dict[str, Any]:
    """Make the image without any privilege, run it twice, look at both sides."""
    # hosts that share the home do this at the same time: a name of our own in it
    image, out, marker = work / "verify.sif", work / "out", Path.home() / f".{work.name}"
    # apptainer keeps its own settings in the home directory, unless told otherwise
    directories = {"CACHEDIR": own / "cache", "TMPDIR": own / "tmp", "CONFIGDIR": work / "config"}
    out.mkdir()
    root_file_system(work / "root")
    run("apptainer", "build", str(image), str(work / "root"), directories=directories)

    contained = ("exec", "--containall", "--net", "--network=none", f"--bind={out}:/out")
    seen, said = run(
        "apptainer", *contained, str(image), "/bin/sh", "-c", SCRIPT, directories=directories
    )
    uid, *network = seen.splitlines()

    plain = ("--silent", "exec", str(image), "/bin/sh", "-c", HOME, "sh", str(marker))
    marker.touch()
    try:
        home, _said = run("apptainer", *plain, directories=directories)
    finally:
        marker.unlink()
    proof = out / "proof"
    return {
        "uid_inside": int(uid),
        "interfaces": [line.split(":")[0].strip() for line in network if ":" in line],
        "unpacked": "temporary sandbox" in said,
        "home": home.strip(),
        "written": proof.read_text(encoding="utf-8").strip(),
        "owner": proof.stat().st_uid,
    }


def main(own: Path) -> None:
    os.chdir("/")
    version, _said = run("apptainer", "--version")
    with tempfile.TemporaryDirectory(prefix="tre-ces-verify-", dir=own / "tmp") as work:
        seen = run_container(own, Path(work))
    print(json.dumps({"version": version.split()[-1], "uid": os.getuid(), **seen}))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Failed as failure:
        sys.exit(str(failure))
