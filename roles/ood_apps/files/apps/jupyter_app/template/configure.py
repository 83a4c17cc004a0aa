# SPDX-License-Identifier: GPL-3.0-or-later
"""configure.py DIRECTORY BASE_URL SHOWN TERMINALS < PASSWORD: writes the session's settings.

What is the same for all is in jupyter_server_config.py, which is there already.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
from typing import Any


def hashed(password: str) -> str:
    """As jupyter_server has it. With 285 random bits in the password a slow hash adds nothing."""
    salt = secrets.token_hex(16)
    return f"sha256:{salt}:{hashlib.sha256((password + salt).encode()).hexdigest()}"


def settings(password: str, base_url: str, shown: str, terminals: bool) -> dict[str, Any]:
    return {
        "ServerApp": {"base_url": base_url, "root_dir": shown, "terminals_enabled": terminals},
        "PasswordIdentityProvider": {"hashed_password": hashed(password)},
    }


def main(directory: str, base_url: str, shown: str, terminals: str) -> None:
    said = settings(sys.stdin.read(), base_url, shown, terminals == "yes")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(
        os.open(f"{directory}/jupyter_server_config.json", flags, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(said, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
