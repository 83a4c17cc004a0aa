# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end on which a run can start. No engine runs here: see RecordingProcess."""

from __future__ import annotations

import pytest
from one_run import NAME
from recording import BackEnd


@pytest.fixture
def ready(backend: BackEnd) -> BackEnd:
    """The image is in storage."""
    backend.has_image(NAME)
    return backend
