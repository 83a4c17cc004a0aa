# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of services."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from recording import BackEnd, make_backend

from ansible_collections.tre.ces.plugins.module_utils.ces.system import cdi, missing


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BackEnd:
    monkeypatch.setattr(cdi, "OWNERS", (0, os.geteuid()))
    # whatever is installed on the machine that runs the tests
    monkeypatch.setattr(missing, "PATH", str(tmp_path / "usual"))
    return make_backend(tmp_path)
