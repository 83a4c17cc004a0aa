# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of ces-check share."""

from __future__ import annotations

import json
from typing import Any

from conftest import User

CRUN = ("podman", "oci")
REGISTRY = "registry.tre.test:5000"
# for a processor that this host is not: the kernel looks no further
FOREIGN = "\x7fELF\x01\x01\x01" + "\0" * 9 + "\x02\0\x28\0\x01\0\0\0" + "\0" * 40


def named(name: str) -> str:
    """The image of that name."""
    return f"{REGISTRY}/tre/check-{name}:1.0"


def predicted(user: User, *words: str) -> dict[str, Any]:
    """What ces-check says; its exit status says the same."""
    done = user.command("ces-check", "--json", *words)
    assert done.rc in (0, 1), done.said
    said: dict[str, Any] = json.loads(done.out)
    assert said["works"] is (done.rc == 0)
    return said
