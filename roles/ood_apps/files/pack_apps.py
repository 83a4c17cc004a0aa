# SPDX-License-Identifier: GPL-3.0-or-later
"""Put apps and what they share together.

Runs on the controller: ``python3 pack_apps.py COLLECTION APP...``; prints a tar archive in base64
in which each app is a directory. With ``--to DIRECTORY`` before the names the apps are written
there instead, for tests.
The same files make the same archive, wherever and whenever it is made.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

Entry = tuple[str, bytes, int]
"""Name, content and mode."""


def version(collection: Path) -> str:
    """The collection's version: from its source, or from what ansible-galaxy installed."""
    source = collection / "galaxy.yml"
    if source.is_file():
        match = re.search(r"^version:\s*(\S+)", source.read_text(encoding="utf-8"), re.MULTILINE)
        if match:
            return match[1]
    manifest = json.loads((collection / "MANIFEST.json").read_text(encoding="utf-8"))
    return str(manifest["collection_info"]["version"])


def below(directory: Path, prefix: str) -> Iterator[Entry]:
    for file in sorted(directory.rglob("*")):
        if file.is_file() and not file.name.startswith("."):
            content = file.read_bytes()
            # a mode may be lost on the way to the controller
            yield f"{prefix}/{file.relative_to(directory)}", content, mode_of(content)


def mode_of(content: bytes) -> int:
    return 0o755 if content.startswith(b"#!") else 0o644


def entries(collection: Path, app: str) -> Iterator[Entry]:
    """All files of an app as it is installed."""
    files = collection / "roles/ood_apps/files"
    yield from below(files / "apps" / app, app)
    for file in sorted((files / "shared").glob("*.rb")):
        yield f"{app}/shared/{file.name}", file.read_bytes(), 0o644
    yield from below(files / "shared/shell", f"{app}/template/ces")
    yield f"{app}/VERSION", f"{version(collection)}\n".encode(), 0o644


def packed(found: list[Entry]) -> str:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content, mode in found:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return base64.b64encode(archive.getvalue()).decode("ascii")


def write(found: list[Entry], directory: Path) -> None:
    for name, content, mode in found:
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)


def main(collection: Path, words: list[str]) -> None:
    to = Path(words[1]) if words[:1] == ["--to"] else None
    found = [entry for app in words[2 if to else 0 :] for entry in entries(collection, app)]
    if to:
        write(found, to)
    else:
        print(packed(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
