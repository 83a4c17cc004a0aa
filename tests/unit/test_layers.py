# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports in the core go downward and in no circle, those inside functions and for types too."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import NAMES

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "plugins/module_utils/ces"
LAYERS = ("", "values", "engines", "system", "images", "table", "checks", "services")
"""Parts of the core; files of each may import those of the same and of earlier ones. ``engines/``
has three: ``images`` are the directories of that name there, ``table`` the table and its rows, and
``engines`` all the rest."""
ROWS = ("table.py", "runner.py")
Graph = dict[str, set[str]]


def imports_of(file: Path, core: Path) -> Iterator[str]:
    """The core's files that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name.partition(".")[0] in sys.stdlib_module_names, (file, alias.name)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                assert str(node.module).partition(".")[0] in sys.stdlib_module_names, (file, node)
                continue
            place = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            found = [place.with_suffix(".py")] if node.module else []
            found += [place / f"{alias.name}.py" for alias in node.names]
            there = [path for path in found if path.is_file()]
            assert there or (place / "__init__.py").is_file(), (file, node.module)
            yield from (str(path.relative_to(core)) for path in there)


def graph_of(core: Path) -> Graph:
    """Each file of a core, and those that it imports."""
    files = sorted(core.rglob("*.py"))
    return {str(file.relative_to(core)): set(imports_of(file, core)) for file in files}


def layer(name: str) -> int:
    """The place in LAYERS of a file of the core."""
    *place, file = name.split("/")
    if place[:1] != ["engines"]:
        return LAYERS.index(place[0] if place else "")
    return LAYERS.index("images" if "images" in place else "table" if file in ROWS else "engines")


def upward(graph: Graph) -> list[str]:
    """The imports from an earlier layer of a later one."""
    return [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in sorted(others)
        if layer(other) > layer(name)
    ]


def circle(graph: Graph) -> list[str]:
    """Files of which each imports the next and the last one the first; none if there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return way[way.index(name) :]
        if name not in done:
            for other in sorted(graph[name]):
                if found := walk(other, [*way, name]):
                    return found
            done.add(name)
        return []

    for name in sorted(graph):
        if found := walk(name, []):
            return found
    return []


def test_imports_go_downward_and_in_no_circle() -> None:
    graph = graph_of(CORE)
    assert len(graph) > 80
    assert upward(graph) == []
    assert circle(graph) == []


PURE = ("", "values", "engines", "table", "checks")
"""Layers that do no I/O."""
HARMLESS = {
    *("__future__", "_json", "bisect", "calendar", "collections.abc", "contextlib", "csv"),
    *("dataclasses", "email.utils", "errno", "json", "re", "time", "typing", "urllib.parse"),
}
"""Parts of the standard library that reach nothing outside of the process but its clock."""
HARMLESS_OF_OS = {"os.path", "os.path.basename", "os.path.dirname", "os.strerror"}
REACHING = {"open", "print", "input", "exec", "eval", "__import__"}


def reaching_out(file: Path) -> set[str]:
    """What in a file's text may reach files, processes or the network."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name not in ("os", "os.path")}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module))
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("os."):
            found.add(ast.unparse(node))
        elif isinstance(node, ast.Name) and node.id in REACHING:
            found.add(node.id)
    return found - HARMLESS - HARMLESS_OF_OS


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from os import environ", {"os"}),
        ("import os\nos.environ['A'] = ''", {"os.environ"}),
        ("def f(p):\n    import subprocess", {"subprocess"}),
        ("read = open", {"open"}),
        ("import os.path\nimport re\nos.path.basename('a')", set()),
    ],
)
def test_this_test_sees_what_reaches_out(tmp_path: Path, line: str, found: set[str]) -> None:
    (tmp_path / "a.py").write_text(line)
    assert reaching_out(tmp_path / "a.py") == found


def test_the_pure_layers_do_no_io() -> None:
    found = {
        name: reaching
        for name in graph_of(CORE)
        if LAYERS[layer(name)] in PURE and (reaching := reaching_out(CORE / name))
    }
    assert found == {}


def test_system_and_engines_know_nothing_of_each_other_but_for_what_keeps_images() -> None:
    graph = graph_of(CORE)
    told = {other for name in graph if name.startswith("system/") for other in graph[name]}
    assert [name for name in told if name.startswith("engines/")] == []


def test_an_engine_knows_no_other_engine() -> None:
    def engine(name: str) -> str:
        parts = name.split("/")
        return parts[1] if parts[0] == "engines" and parts[1] in NAMES else ""

    graph = graph_of(CORE)
    pairs = {(engine(name), engine(other)) for name in graph for other in graph[name]}
    assert {pair for pair in pairs if all(pair) and len(set(pair)) == 2} == set()
    assert ("podman", "podman") in pairs


def test_the_developers_page_has_these_layers_in_this_order() -> None:
    page = (ROOT / "docs/developer.md").read_text(encoding="utf-8")
    table = page.partition("## Layers of the core")[2].partition("\n## ")[0]
    first, *rest = re.findall(r"^\| `(\w+)(?:/|\.py)`", table, re.M)
    assert (first, *rest) == ("errors", *LAYERS[1:])


@pytest.mark.parametrize(
    ("file", "line", "up", "around"),
    [
        ("values/a.py", "from ..system import b", ["values/a.py imports system/b.py"], []),
        (
            "system/b.py",
            "def f():\n    from ..services.c import x",
            ["system/b.py imports services/c.py"],
            [],
        ),
        ("services/c.py", "def f():\n    from . import d", [], ["services/c.py", "services/d.py"]),
        ("services/c.py", "from ..system.b import x", [], []),
        ("engines/podman/images/e.py", "from ....system.b import x", [], []),
        (
            "engines/podman/f.py",
            "def f():\n    from .images.e import x",
            ["engines/podman/f.py imports engines/podman/images/e.py"],
            [],
        ),
    ],
)
def test_this_test_sees_an_import_that_goes_up_or_round(
    tmp_path: Path, file: str, line: str, up: list[str], around: list[str]
) -> None:
    tree = {"values/a.py": "", "system/b.py": "", "services/c.py": ""}
    tree |= {"engines/podman/images/e.py": "", "engines/podman/f.py": ""}
    tree["services/d.py"] = "from .c import x\n"
    tree[file] += line
    for name, text in tree.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    graph = graph_of(tmp_path)
    assert (upward(graph), circle(graph)) == (up, around)


def test_the_core_needs_no_more_than_the_standard_library(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    import yaml\n")
    with pytest.raises(AssertionError, match="yaml"):
        graph_of(tmp_path)
