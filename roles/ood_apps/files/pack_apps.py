# SPDX-License-Identifier: GPL-3.0-or-later
"""Put apps and what they share together.

Runs on the controller: ``python3 pack_apps.py COLLECTION APP...``; prints an archive in which each
app is a directory. With ``--to DIRECTORY`` before the names the apps are written there instead, for
tests.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ces_tools/files"))
from archive import Entry, packed, version


def below(directory: Path, prefix: str) -> Iterator[Entry]:
    for file in sorted(directory.rglob("*")):
        if file.is_file() and not file.name.startswith("."):
            content = file.read_bytes()
            # a mode may be lost on the way to the controller
            yield f"{prefix}/{file.relative_to(directory)}", content, mode_of(content)


def mode_of(content: bytes) -> int:
    return 0o755 if content.startswith(b"#!") else 0o644


def of_core(collection: Path) -> dict[str, bytes]:
    """What forms take from the core, as files.

    Patterns that they check values by, as Ruby and browsers read them too; and the engines.
    """
    sys.path.insert(0, str(collection / "plugins/module_utils"))
    from ces.engines.table import known_runners
    from ces.values.grammar import PATTERNS

    runners = {
        name: {"said": runner.traits().form, "files": runner.files}
        for name, runner in known_runners().items()
        if runner.traits().form
    }
    made = {"grammar.json": PATTERNS, "runners.json": runners}
    return {name: f"{json.dumps(content, indent=1)}\n".encode() for name, content in made.items()}


def entries(collection: Path, app: str) -> Iterator[Entry]:
    """All files of an app as it is installed."""
    files = collection / "roles/ood_apps/files"
    yield from below(files / "apps" / app, app)
    for file in sorted((files / "shared").glob("*.rb")):
        yield f"{app}/shared/{file.name}", file.read_bytes(), 0o644
    for name, content in of_core(collection).items():
        yield f"{app}/shared/{name}", content, 0o644
    # where the portal looks for it
    yield f"{app}/form.js", (files / "shared/form.js").read_bytes(), 0o644
    yield from below(files / "shared/shell", f"{app}/template/ces")
    yield f"{app}/VERSION", f"{version(collection)}\n".encode(), 0o644


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
