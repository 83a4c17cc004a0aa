# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of real processes share."""

from __future__ import annotations

from typing import Any

from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command


def sh(script: str, **more: Any) -> Command:
    return Command(("/bin/sh", "-c", script), **more)
