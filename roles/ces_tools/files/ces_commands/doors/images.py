# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-images``."""

from __future__ import annotations

import json

from ces.services.images import list_images
from ces.values.quantities import spell_bytes

from ces_commands.doors.common import print_table, system_for
from ces_commands.parse import Parsed


def main(parsed: Parsed) -> int:
    """List images in storage."""
    images = list_images(system_for(parsed))
    if parsed.on("json"):
        print(json.dumps([image.as_dict() for image in images], indent=1))
        return 0
    rows = [
        (
            name,
            image.runner,
            image.digest.removeprefix("sha256:")[:12],
            spell_bytes(image.size),
            image.created,
        )
        for image in images
        for name in image.names
    ]
    print_table(("IMAGE", "RUNNER", "DIGEST", "SIZE", "CREATED"), sorted(rows))
    return 0
