# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines that the core has, for scenarios' tests: a new one is tried like the others."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins/module_utils"))
from ces.engines.table import NAMES, known_runners

RUNNERS = NAMES
WITH_GPUS = tuple(name for name, one in known_runners().items() if one.cdi or one.gpu_without_spec)
"""Engines that give containers GPUs."""
