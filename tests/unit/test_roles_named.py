# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages name roles: each of them is one of this collection's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.oci import command
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import NAMES, runner_named
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system import gpu, missing
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import SystemProcess
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command

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


def started() -> list[tuple[str, str, str]]:
    """The programs that the core starts by name: where, which, and the role that brings it.

    Programs of every host are started by words that stand in a variable.
    """
    return [
        (path.name, str(call.args[0].elts[0].value), role_of(call))
        for path in CORE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") == "Command"
        and call.args
        and isinstance(call.args[0], ast.Tuple)
        and isinstance(call.args[0].elts[0], ast.Constant)
    ]


def role_of(call: ast.Call) -> str:
    """What a call has for ``role``."""
    given = [word.value for word in call.keywords if word.arg == "role"]
    return str(given[0].value) if given and isinstance(given[0], ast.Constant) else ""


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
    found = started()
    assert {"podman", "crun", "squeue", "nvidia-smi"} <= {
        program for _file, program, _role in found
    }
    assert [one for one in found if one[2] not in ROLES] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_engine_has_a_role_of_its_name_which_brings_its_programs(name: str) -> None:
    runner = runner_named(name)
    assert (runner.name, name in ROLES) == (name, True)
    roles = {role for _file, program, role in started() if program in runner.programs}
    assert roles == {name}


@pytest.mark.parametrize(
    ("command", "cure"),
    [
        (command.remove("/run/1/cid"), "the administrator installs it (role oci)"),
        (command.unpack("layout", "rootfs"), "the administrator installs it (role oci)"),
        (gpu.LIST, "the administrator installs it (role gpu)"),
        (
            Command(("sbatch",), role="slurm"),
            "use a host of the cluster, or the administrator installs Slurm's commands"
            " (role slurm)",
        ),
        (Command(("unknown",)), "the administrator installs it"),
    ],
)
def test_a_program_that_is_not_there_is_told_with_who_brings_it(
    command: Command, cure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # whatever is installed on the machine that runs the tests
    monkeypatch.setattr(missing, "PLACES", ("/nowhere",))
    with pytest.raises(CesError) as error:
        SystemProcess({"PATH": "/nowhere"}).run(command)
    assert error.value.hint == cure
