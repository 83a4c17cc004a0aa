# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack the core and the commands of this collection into one archive.

Runs on the controller: ``python3 pack_tree.py COLLECTION``; prints the archive.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
# the commands' tables, and those of the core, by the names that they are installed under
sys.path[:0] = [str(HERE), str(HERE.parents[2] / "plugins/module_utils")]
from archive import Entry, build, packed, version
from ces_commands.manual import generated


def entries(collection: Path) -> list[Entry]:
    """All files to install. VERSION tells two states of one version apart."""
    found = list(program(collection))
    text = f"{version(collection)} (build {build(found)})\n"
    return [*found, ("VERSION", text.encode(), 0o644)]


def program(collection: Path) -> Iterator[Entry]:
    """The core, the commands and what is generated from them."""
    commands = collection / "roles/ces_tools/files"
    for directory, name in (
        (collection / "plugins/module_utils/ces", "ces"),
        (commands / "ces_commands", "ces_commands"),
    ):
        for file in sorted(directory.rglob("*.py")):
            yield f"{name}/{file.relative_to(directory)}", file.read_bytes(), 0o644
    for name, mode in (("launcher", 0o755), ("take_up.py", 0o644)):
        yield name, (commands / name).read_bytes(), mode
    for name, text in generated(version(collection)).items():
        yield name, text.encode(), 0o644


if __name__ == "__main__":
    print(packed(entries(Path(sys.argv[1]))))
