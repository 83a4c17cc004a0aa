# SPDX-License-Identifier: GPL-3.0-or-later
"""The archives in which this collection's files travel from the controller to hosts.

The same files make the same archive, wherever and whenever it is made.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable
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


def build(entries: Iterable[Entry]) -> str:
    """A name for exactly these files: two of one version differ between two releases."""
    return hashlib.sha256(repr(sorted(entries)).encode()).hexdigest()[:12]


def packed(entries: Iterable[Entry]) -> str:
    """A tar archive of these, in base64."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content, mode in entries:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return base64.b64encode(archive.getvalue()).decode("ascii")
