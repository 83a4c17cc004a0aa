# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML as programs write it is read as a real reader of YAML reads it; all else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.values.block_yaml import read_block_yaml

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "gpu"
WORDS = st.text("abc 01:/.-#'\"~=_{}[]&*", max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("*.yaml.txt")), ids=lambda path: path.name)
def test_specifications_as_the_toolkit_writes_them(file: Path) -> None:
    text = file.read_text()
    assert read_block_yaml(text, "x") == yaml.safe_load(text)


@given(VALUES)
def test_what_is_read_is_what_was_written_or_nothing_is(value: object) -> None:
    text = yaml.safe_dump(value, width=10_000)
    try:
        read = read_block_yaml(text, "x")
    except CesError:
        return
    assert read == value


@given(
    st.dictionaries(
        st.text("abcK", min_size=1), st.lists(WORDS.map(lambda w: f"/x{w}")), max_size=3
    )
)
def test_lists_of_paths_below_keys_are_always_read(value: dict[str, list[str]]) -> None:
    text = yaml.safe_dump(value, width=10_000, default_style=None)
    assert read_block_yaml(text, "x") == value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: &b 1", 1),
        ("a: |\n  text", 1),
        ("a: {b: 1}", 1),
        ("a:\n- 'x", 2),
        ("a: 1\na: 2", 2),
        ("a: 1\n  b: 2", 2),
        ('a: "x" y', 1),
    ],
)
def test_what_programs_do_not_write_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(CesError, match=rf"could not read /x.yaml: line {line}: .*JSON"):
        read_block_yaml(text, "/x.yaml")
