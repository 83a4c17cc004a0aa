# SPDX-License-Identifier: GPL-3.0-or-later
"""A child that has become the user has the whole core, also where Ansible's archive is closed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[3] / "plugins/module_utils/ces"
PROGRAM = """
import pwd, sys
sys.path.insert(0, sys.argv[1])
from packed.ces.system.host.as_user import MEMORY, Looking

def look():
    from packed.ces.engines.oci.images.store import BundleStore  # nobody has loaded any of these
    return {"name": BundleStore.__name__}

looking = Looking(pwd.getpwnam("nobody"), look, 20, MEMORY)
print(looking.answer(), "packed.ces.engines" in sys.modules)
"""


def test_what_is_imported_as_the_user_is_there(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may act as another user")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    archive = closed / "packed.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("packed/__init__.py", "")
        for file in CORE.rglob("*.py"):
            packed.write(file, f"packed/ces/{file.relative_to(CORE)}")
    done = subprocess.run(
        [sys.executable, "-ISB", "-c", PROGRAM, str(archive)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "{'name': 'BundleStore'} False\n"
