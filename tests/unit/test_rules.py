# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of CONTRIBUTING.md that a program can hold, for all files that git knows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPDX = "SPDX-License-Identifier: GPL-3.0-or-later"
LONGEST = 400
"""Lines of a Python file that is installed somewhere, without a module's documentation."""
GENERATED = ("changelogs/changelog.yaml", "changelogs/.plugin-cache.yaml")
_DOCUMENTATION = re.compile(r'^(DOCUMENTATION|EXAMPLES|RETURN) = r?"""\n.*?\n"""$', re.M | re.S)
_IGNORED = re.compile(r"#\s*type:\s*ignore(?P<code>\[[a-z-]+\])?")
_NO_LINTER = re.compile(r"#\s*noqa(?P<code>: [A-Z]+\d+)?")
_LOST = re.compile(r"^\s*(- )?(ignore_errors: *(true|yes)|failed_when: *(false|no))\b", re.M)


def tracked(*patterns: str) -> list[str]:
    """The files of these names that git knows, and that are there."""
    said = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    files = [name for name in said.stdout.split("\0") if name and (ROOT / name).is_file()]
    if not files:
        pytest.skip("git does not know this copy")
    return files


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_source_file_says_its_licence() -> None:
    files = tracked("*.py", "*.yml", "*.yaml", "*.sh", "*.rb", "*.js", "*.erb", "*.toml", "*.md")
    silent = [
        name
        for name in files
        if text_of(name).strip() and name not in GENERATED and SPDX not in text_of(name)[:400]
    ]
    assert silent == []


def test_packages_of_the_collection_are_empty_and_modules_have_postponed_annotations() -> None:
    for name in tracked("plugins/*.py"):
        text = text_of(name)
        if name.endswith("/__init__.py"):
            assert text.strip() == "", name
        else:
            assert "\nfrom __future__ import annotations\n" in text, name


def test_no_file_that_is_installed_is_too_long_to_have_one_idea() -> None:
    lengths = {
        name: _DOCUMENTATION.sub("", text_of(name)).count("\n")
        for name in tracked("plugins/*.py", "roles/*.py")
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def complaints(name: str) -> Iterator[str]:
    """Exceptions from a linter or mypy that do not say from what, or of installed files why."""
    lines = text_of(name).splitlines()
    for number, line in enumerate(lines):
        before = lines[number - 1].strip() if number else ""
        ignored = _IGNORED.search(line)
        if ignored and not (ignored["code"] and before.startswith("#")):
            yield f"{name}:{number + 1}: a type: ignore wants a code, and a reason above it"
        quiet = _NO_LINTER.search(line)
        if quiet and not quiet["code"]:
            yield f"{name}:{number + 1}: a noqa wants a code"


def test_an_exception_says_from_what_it_is_one() -> None:
    ours = str(Path(__file__).relative_to(ROOT))
    found = [said for name in tracked("*.py") if name != ours for said in complaints(name)]
    assert found == []


def test_no_task_passes_over_a_failure() -> None:
    tasks = tracked("roles/*.yml", "playbooks/*.yml", "molecule/*.yml")
    assert [name for name in tasks if _LOST.search(text_of(name))] == []


def test_mypy_is_strict_about_everything() -> None:
    """An option that is relaxed has a comment with the reason."""
    text = text_of("pyproject.toml")
    assert "\n[tool.mypy]\nstrict = true\n" in text
    for section in text.split("\n[[tool.mypy.overrides]]\n")[1:]:
        own = section.split("\n\n[")[0]
        assert own.startswith("#"), own


def test_every_python_file_is_looked_at_by_mypy() -> None:
    """What `make lint` names covers all that git knows."""
    seen = ("plugins/", "roles/", "tests/", "molecule/")
    unseen = [name for name in tracked("*.py") if not name.startswith(seen)]
    assert unseen == []
    for name in tracked("molecule/*.py"):
        assert re.match(r"molecule/[a-z]+/tests/", name), name


def test_every_scenario_is_told() -> None:
    told = re.findall(r"^\| `([a-z]+)` \|", text_of("CONTRIBUTING.md"), re.M)
    scenarios = {name.split("/")[1] for name in tracked("molecule/*/molecule.yml")}
    assert scenarios <= set(told)
