# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command on the back-end said, said here."""

from __future__ import annotations

import sys

from ces.typed import Any


def told(answer: dict[str, Any]) -> int:
    """Say what the command on the back-end said, and end as it did."""
    for stream, text in ((sys.stdout, answer["out"]), (sys.stderr, answer["err"])):
        stream.buffer.write(text.encode("utf-8", "surrogateescape"))
        stream.flush()
    return int(answer["rc"])
