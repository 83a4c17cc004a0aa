# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack the core and the commands of this collection into one archive.

Runs on the controller: ``python3 pack_tree.py COLLECTION``; prints a tar archive in base64. The
same files make the same archive, wherever and whenever it is made.
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


def version(collection: Path) -> str:
    """The collection's version: from its source, or from what ansible-galaxy installed."""
    source = collection / "galaxy.yml"
    if source.is_file():
        match = re.search(r"^version:\s*(\S+)", source.read_text(encoding="utf-8"), re.MULTILINE)
        if match:
            return match[1]
    manifest = json.loads((collection / "MANIFEST.json").read_text(encoding="utf-8"))
    return str(manifest["collection_info"]["version"])


def files(collection: Path) -> Iterator[tuple[str, bytes, int]]:
    """Name, content and mode of each file to install."""
    commands = collection / "roles/ces_tools/files"
    for directory, name in (
        (collection / "plugins/module_utils/ces", "ces"),
        (commands / "ces_commands", "ces_commands"),
    ):
        for file in sorted(directory.rglob("*.py")):
            yield f"{name}/{file.relative_to(directory)}", file.read_bytes(), 0o644
    yield "launcher", (commands / "launcher").read_bytes(), 0o755
    yield "VERSION", f"{version(collection)}\n".encode(), 0o644
    sys.path.insert(0, str(commands))
    from ces_commands.manual import generated

    for name, text in generated(version(collection)).items():
        yield name, text.encode(), 0o644


def main(collection: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content, mode in files(collection):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    print(base64.b64encode(archive.getvalue()).decode("ascii"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
