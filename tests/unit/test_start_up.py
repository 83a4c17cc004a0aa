# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run loads before its container starts: milliseconds of every command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import NAMES

ROOT = Path(__file__).resolve().parents[2]
SLOW = {
    *("collections", "contextlib", "dataclasses", "datetime", "enum", "functools", "importlib"),
    *("json", "re", "selectors", "shutil", "signal", "subprocess", "threading", "typing"),
    *("http.client", "ssl"),
}
"""Parts of the standard library that take a millisecond or more each (Python 3.13)."""
FOR_SOME = ("allocation", "cdi", "checks", "doctor", "gpu", "job", "slurm", "traits", "ways")
"""Words in the names of those parts of the core that most runs have no use for."""
RUN = """
import sys
sys.argv = ["ces-run"]
sys.path[:0] = {paths}
from ces_commands.main import main
from ces.errors import CesError
from ces.values.image import ImageRef
from ces.values.quantities import memory_bytes
from ces.json_text import dumps_lines, loads
from ces.engines.{engine}.images import store
from ces.engines.table import runner_named
import ces_commands.doors.run
runner_named('{engine}')
loads('{{"a": [1]}}'), dumps_lines({{"a": None}}), memory_bytes("4GiB")
ImageRef.parse("registry.example.org:5000/a/b:1")
import json
print(json.dumps(before))
"""


@pytest.fixture
def core(tmp_path: Path) -> list[str]:
    """Where the core and the commands are, under the names that they are installed under."""
    (tmp_path / "ces").symlink_to(ROOT / "plugins/module_utils/ces")
    return [str(tmp_path), str(ROOT / "roles/ces_tools/files")]


@pytest.mark.parametrize("engine", NAMES)
def test_a_run_loads_nothing_that_is_slow(core: list[str], engine: str) -> None:
    program = RUN.format(paths=core, engine=engine)
    program = program.replace("import json\n", "before = sorted(sys.modules)\nimport json\n")
    # as the commands start: without site packages, and without the user's settings
    done = subprocess.run(
        [sys.executable, "-ISB", "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert f"ces.engines.{engine}.images.store" in loaded
    assert loaded & SLOW == set()
    assert [name for name in loaded if any(word in name for word in FOR_SOME)] == []
    others = {f"ces.engines.{name}" for name in NAMES if name != engine}
    assert others & loaded == set()
