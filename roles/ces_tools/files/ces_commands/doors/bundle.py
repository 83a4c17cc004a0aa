# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-bundle``."""

from __future__ import annotations

import json
import os

from ces.services.make_bundle import make_bundle
from ces.services.session import session
from ces.values.image import ImageRef

from ces_commands.doors.asked import asked
from ces_commands.doors.common import system_for
from ces_commands.parse import Parsed


def main(parsed: Parsed) -> int:
    """Make a bundle; its directory is the last thing printed."""
    image = ImageRef.parse(parsed.operands[0])
    system = system_for(parsed)
    to = parsed.text("to") or f"{image.short_name.replace(':', '-')}.bundle"
    spec = asked(parsed, image, "oci", system, bundle=True)
    dry_run = parsed.on("dry_run")
    with session(system, change=not dry_run):
        made = make_bundle(spec, os.path.abspath(to), system, parsed.on("copy"), dry_run)
    if parsed.on("json"):
        digest = made.image.digest if made.image else None
        print(json.dumps({"changed": made.changed, "path": made.path, "digest": digest}))
    elif dry_run:
        print(f"{made.path}: {'would be made' if made.changed else 'unchanged'}")
    else:
        print(made.path)
    return 0
