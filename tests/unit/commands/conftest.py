# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands as the role ces_tools lays them out on a back-end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import StartCommand

ROOT = Path(__file__).resolve().parents[3]
FILES = ROOT / "roles" / "ces_tools" / "files"


@pytest.fixture
def command(tmp_path: Path) -> StartCommand:
    """Starts ``ces-NAME WORDS...`` as a user with a session and without a policy."""
    installed = tmp_path / "lib"
    installed.mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "home").mkdir()
    shutil.copy(FILES / "launcher", installed / "launcher")
    (installed / "VERSION").write_text("1.2.3\n")
    (installed / "ces_commands").symlink_to(FILES / "ces_commands")
    (installed / "ces").symlink_to(ROOT / "plugins" / "module_utils" / "ces")
    environ = {"PATH": os.environ["PATH"], "HOME": f"{tmp_path}/home"}
    environ["XDG_RUNTIME_DIR"] = f"{tmp_path}/run"

    def start(name: str, *words: str) -> subprocess.Popen[str]:
        link = tmp_path / name
        link.symlink_to(installed / "launcher")
        return subprocess.Popen(
            [sys.executable, "-IS", str(link), *words],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
