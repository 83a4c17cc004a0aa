# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together what the portal has for back-ends with homes of their own.

Runs on the controller: ``python3 pack_remote.py COLLECTION COMMAND,... CLUSTER...``; prints
an archive: the programs, what they use of the collection's core, and for each cluster its commands.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ces_tools/files"))
from archive import Entry, packed

CORE = (
    *("__init__", "blocks", "dataclass", "errors", "json_text", "shown", "typed"),
    *("system/__init__", "system/files"),
)


def entries(collection: Path, commands: list[str], clusters: list[str]) -> Iterator[Entry]:
    files = collection / "roles/ood_apps/files/remote"
    core = collection / "plugins/module_utils/ces"
    for name in CORE:
        yield f"ces/{name}.py", (core / f"{name}.py").read_bytes(), 0o644
    for file in sorted((files / "ces_remote").glob("*.py")):
        yield f"ces_remote/{file.name}", file.read_bytes(), 0o644
    launcher = (files / "launcher").read_bytes()
    yield "launcher", launcher, 0o755
    for cluster in clusters:
        for command in commands:
            yield f"clusters/{cluster}/{command}", launcher, 0o755


if __name__ == "__main__":
    print(packed(entries(Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:])))
