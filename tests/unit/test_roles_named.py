# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages name roles: each of them is one of this collection's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.roles import ROLE_OF
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import RUNNERS
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system import missing
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import SystemProcess

ROOT = Path(__file__).resolve().parents[2]
ROLES = {path.name for path in ROOT.glob("roles/*")}
CORE = ROOT / "plugins" / "module_utils" / "ces"
NAMED = re.compile(r"\broles? (?!tre\.ces\.)([a-z_]+(?:(?:, | and | or )(?!or )[a-z_]+)*)")
SOURCES = [*CORE.rglob("*.py"), *ROOT.glob("roles/*/files/**/*.py")]


def texts(path: Path) -> set[str]:
    """What a module may say: its strings, but for those that describe its code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    described = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in described
    }


def programs() -> set[str]:
    """The programs that the core starts by name, but for those of every host."""
    words = {
        call.args[0].elts[0].value
        for path in CORE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") == "Command"
        and call.args
        and isinstance(call.args[0], ast.Tuple)
        and isinstance(call.args[0].elts[0], ast.Constant)
    }
    assert {"podman", "crun", "squeue"} <= words
    return words | {runner.engine for runner in RUNNERS.values()}


def test_every_role_that_a_message_names_exists() -> None:
    named = {
        role: text
        for path in SOURCES
        for text in texts(path)
        for found in NAMED.findall(text)
        for role in re.split(", | and | or ", found)
    }
    assert {"podman", "subid"} <= named.keys()
    assert {role: text for role, text in named.items() if role not in ROLES} == {}


def test_every_program_is_brought_by_a_role_that_exists() -> None:
    assert set(ROLE_OF.values()) <= ROLES
    assert programs() - ROLE_OF.keys() == set()


@pytest.mark.parametrize(
    ("program", "cure"),
    [
        ("crun", "the administrator installs it (role oci)"),
        ("skopeo", "the administrator installs it (role oci)"),
        ("sbatch", "use a host of the cluster"),
        ("unknown", "the administrator installs it"),
    ],
)
def test_a_program_that_is_not_there_is_told_with_who_brings_it(
    program: str, cure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # whatever is installed on the machine that runs the tests
    monkeypatch.setattr(missing, "PATH", "/nowhere")
    with pytest.raises(CesError) as error:
        SystemProcess({"PATH": "/nowhere"}).run(Command((program,)))
    assert error.value.hint.startswith(cure)
    assert cure == error.value.hint or program == "sbatch"
