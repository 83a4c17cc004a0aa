#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the CDI specifications of this host's GPUs, if they are not those of its driver and layout.

Run as root: ``refresh [--check] [--force] FILE [UNIT]``. FILE is NVIDIA's specification. UNIT is
the toolkit's own unit that makes it; without one ``nvidia-ctk`` is run. Prints a line for each
specification that was, or with --check would be, made.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("TRE_CES_ROOT", "/"))  # for tests
STATE = Path("/run/tre-ces-gpu/made-for")
GENERATE = ("nvidia-ctk", "cdi", "generate", "--format=json")
NAMES = ("--device-name-strategy=index", "--device-name-strategy=uuid")
AMD_VENDOR = "0x1002"


class Failed(Exception):
    """A specification could not be made, and why."""


def run(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Failed(f"{argv[0]} is not installed") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise Failed(f"{' '.join(argv)} exited with {done.returncode} and said: {said}")
    return done.stdout


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def write(file: Path, text: str) -> None:
    """Replace a file in one step: an engine may read it at any moment."""
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    # engines read every file with an ending that they know
    fresh = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


def nvidia_now() -> str:
    """What the specification depends on: the driver, GPUs and instances, and who makes it."""
    if not shutil.which("nvidia-smi"):
        return ""
    try:
        version = run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        listed = run("nvidia-smi", "-L")
    except Failed as failure:
        hint = "After an update of the driver the host has to be restarted"
        raise Failed(f"{failure}. {hint}") from None
    return version + listed + run("nvidia-ctk", "--version")


def is_readable(file: Path) -> bool:
    """Whether everybody can read the specification, and it is one."""
    try:
        json.loads(file.read_text(encoding="utf-8"))
        return bool(file.stat().st_mode & 0o004)
    except (OSError, ValueError):
        return False


def nvidia(file: Path, unit: str | None, check: bool, force: bool) -> bool:
    now = nvidia_now()
    if not now or (not force and is_readable(file) and text_of(STATE) == now):
        return False
    if check:
        return True
    if unit:
        run("systemctl", "start", unit)
        if not file.exists():
            raise Failed(f"{unit} has run, and there is no {file}")
        file.chmod(0o644)
    else:
        text = run(*GENERATE, *NAMES)
        try:
            json.loads(text)
        except ValueError as error:
            raise Failed(f"{' '.join(GENERATE)} gave no JSON: {error}") from None
        write(file, text)
    STATE.parent.mkdir(mode=0o755, exist_ok=True)
    STATE.write_text(now, encoding="utf-8")
    return True


def amd_spec() -> dict[str, Any] | None:
    """AMD's GPUs need nothing but device files: the programs bring their libraries."""
    if not (ROOT / "dev/kfd").exists():
        return None
    nodes = []
    for card in sorted(
        (ROOT / "sys/class/drm").glob("renderD*"), key=lambda path: int(path.name[7:])
    ):
        if text_of(card / "device/vendor").strip() == AMD_VENDOR:
            nodes.append({"path": f"/dev/dri/{card.name}"})
    devices = [(str(number), [node]) for number, node in enumerate(nodes)]
    if nodes:
        devices.append(("all", nodes))
    return {
        "cdiVersion": "0.5.0",
        "kind": "amd.com/gpu",
        "devices": [
            {"name": name, "containerEdits": {"deviceNodes": mine}} for name, mine in devices
        ],
        "containerEdits": {"deviceNodes": [{"path": "/dev/kfd"}]},
    }


def amd(file: Path, check: bool) -> bool:
    spec = amd_spec()
    if spec is None or not spec["devices"]:
        return False
    text = json.dumps(spec, indent=2) + "\n"
    if is_readable(file) and text_of(file) == text:
        return False
    if not check:
        write(file, text)
    return True


def main(words: list[str]) -> None:
    check, force = "--check" in words, "--force" in words
    file, *unit = [word for word in words if not word.startswith("--")]
    made = "would make" if check else "made"
    amd_file = Path(file).with_name("amd.json")
    if amd(amd_file, check):
        print(f"{made} {amd_file}")
    if nvidia(Path(file), unit[0] if unit else None, check, force):
        print(f"{made} {file}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failed as failure:
        sys.exit(f"could not make the CDI specification: {failure}")
