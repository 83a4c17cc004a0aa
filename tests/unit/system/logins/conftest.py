# SPDX-License-Identifier: GPL-3.0-or-later
"""Ada's files with logins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Ada's variables."""
    return {"XDG_RUNTIME_DIR": f"{tmp_path}/run", "PATH": f"{tmp_path}/bin:/usr/bin:/bin"}


@pytest.fixture
def ada(tmp_path: Path, environ: dict[str, str]) -> Account:
    for directory in ("run/containers", "home/.config/containers", "home/.docker"):
        (tmp_path / directory).mkdir(parents=True)
    return Account("ada", os.geteuid(), f"{tmp_path}/home", (), environ)
