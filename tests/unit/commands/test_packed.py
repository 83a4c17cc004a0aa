# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ces_tools installs says which version and build it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from archive import Entry, build
from pack_tree import entries

ROOT = Path(__file__).resolve().parents[3]
FILES: list[Entry] = [("a", b"1", 0o644), ("b", b"2", 0o755)]


@pytest.mark.parametrize(
    "others",
    [
        FILES[:1],
        [("a", b"1", 0o644), ("b", b"3", 0o755)],
        [("a", b"1", 0o644), ("b", b"2", 0o644)],
        [("a", b"1", 0o644), ("c", b"2", 0o755)],
    ],
)
def test_other_files_are_another_build(others: list[Entry]) -> None:
    assert build(others) != build(FILES)


def test_the_same_files_are_the_same_build() -> None:
    assert build(reversed(FILES)) == build(FILES)


def test_what_is_installed_says_its_version_and_build() -> None:
    found = {name: content for name, content, _mode in entries(ROOT)}
    assert re.fullmatch(rb"\d+\.\d+\.\d+ \(build [0-9a-f]{12}\)\n", found["VERSION"])
    program = [entry for entry in entries(ROOT) if entry[0] != "VERSION"]
    assert build(program) in found["VERSION"].decode()
