# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-rm``."""

from __future__ import annotations

from ces.services.images import remove_image
from ces.services.session import session
from ces.values.image import ImageRef

from ces_commands.doors.common import system_for
from ces_commands.parse import Parsed


def main(parsed: Parsed) -> int:
    """Remove images from storage."""
    images = [ImageRef.parse(text) for text in parsed.operands]
    system = system_for(parsed)
    with session(system):
        for image in images:
            runners = remove_image(image, system, parsed.runner)
            print(f"{image}: removed ({', '.join(runners)})")
    return 0
