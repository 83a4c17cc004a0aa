# SPDX-License-Identifier: GPL-3.0-or-later
"""The portal's commands for back-ends with homes of their own."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
for directory in ("roles/ood_apps/files/remote", "plugins/module_utils"):
    path = str(ROOT / directory)
    if path not in sys.path:
        sys.path.insert(0, path)
