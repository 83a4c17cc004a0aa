# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's version, for the commands; galaxy.yml has the same."""

from __future__ import annotations

VERSION = "0.1.0"
