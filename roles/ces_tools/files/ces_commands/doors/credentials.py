# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks a registry, as command lines say it."""

from __future__ import annotations

import sys

from ces.values.spec import Credentials
from ces.values.token import TOKEN_MAX, token_from

from ces_commands.parse import Parsed

_ANONYMOUS = ("", "anonymous")


def credentials(parsed: Parsed) -> Credentials:
    """From ``--username``, ``--password-stdin`` and ``--authfile``, or a token among the words."""
    username = parsed.text("username") or ""
    password = parsed.token or ""
    if parsed.on("password_stdin"):
        password = token_from(sys.stdin.buffer.read(TOKEN_MAX + 1))
    if username in _ANONYMOUS and not password:
        username = ""
    return Credentials(username, password, parsed.text("authfile"))
