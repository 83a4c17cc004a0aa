# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of services."""

from __future__ import annotations

from pathlib import Path

import pytest
from recording import BackEnd, make_backend


@pytest.fixture
def backend(tmp_path: Path) -> BackEnd:
    return make_backend(tmp_path)
