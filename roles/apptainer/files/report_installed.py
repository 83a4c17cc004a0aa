# SPDX-License-Identifier: GPL-3.0-or-later
"""Report on the apptainer that is installed here: version, parts, what it lacks.

Reads only. Run as root: ``python3 report_installed.py``; prints one JSON object.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

HELPERS = ("squashfuse_ll", "squashfuse", "fuse-overlayfs", "mksquashfs")
PROFILES = Path("/etc/apparmor.d")


def ask(*words: str) -> str:
    return subprocess.run(
        ["apptainer", *words], capture_output=True, text=True, check=True
    ).stdout.strip()


def helpers(directory: Path) -> dict[str, bool]:
    """The programs that apptainer starts; release packages bring their own."""
    places = f"{directory}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    return {name: shutil.which(name, path=places) is not None for name in HELPERS}


def main() -> None:
    if shutil.which("apptainer") is None:
        print(json.dumps({"version": ""}))
        return
    build = dict(line.partition("=")[::2] for line in ask("buildcfg").splitlines())
    programs = Path(build["LIBEXECDIR"], "apptainer", "bin")
    found = helpers(programs)
    mounts = found["squashfuse_ll"] or found["squashfuse"]
    profiles = [file for file in PROFILES.glob("*apptainer*") if file.name != "tre-ces-apptainer"]
    print(
        json.dumps(
            {
                "version": ask("--version").split()[-1],
                "starter": str(programs / "starter"),
                "setuid": (programs / "starter-suid").exists(),
                "missing": ([] if mounts else ["squashfuse"])
                + [name for name in ("fuse-overlayfs", "mksquashfs") if not found[name]],
                "apparmor_profile": bool(profiles),
            }
        )
    )


if __name__ == "__main__":
    main()
