# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports in the core go downward and in no circle, those inside functions and for types too."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "plugins/module_utils/ces"
LAYERS = ("", "values", "engines", "system", "images", "checks", "services")
"""Parts of the core; files of each may import those of the same and of earlier ones. ``images`` are
the directories of that name below ``engines/``; the rest there is ``engines``."""
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


def upward(graph: Graph) -> list[str]:
    """The imports from an earlier layer of a later one."""

    def layer(name: str) -> int:
        first, *below = name.split("/")[:-1] or [""]
        return LAYERS.index("images" if first == "engines" and "images" in below else first)

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


def test_the_developers_page_has_these_layers_in_this_order() -> None:
    page = (ROOT / "docs/developer.md").read_text(encoding="utf-8")
    table = page.partition("## Layers of the core")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)/`", table, re.M)) == LAYERS[1:]


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
