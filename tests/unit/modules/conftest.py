# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module as Ansible does: arguments in, one JSON object out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """``run(module, check=True, option=value)``: what the module answers."""

    def run_module(module: Any, check: bool = False, **options: Any) -> dict[str, Any]:
        settings = {"_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args({**options, **settings}), pytest.raises(SystemExit):
            module.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return run_module


@pytest.fixture
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the list goes of what we wrote, and copies of what others wrote."""
    return tmp_path_factory.mktemp("var") / "kept"
