# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON is read and written as ``json`` does it, with the interpreter's own code and without."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces import json_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
WRONG = (
    *(
        "",
        " ",
        "{",
        "}",
        "[1,]",
        '"a',
        '{"a":1,}',
        "{'a': 1}",
        '{"a" 1}',
        "{} x",
        "nul",
        "01",
        "+1",
    ),
    *('"\n"', '"\\x"', '"\\ud8"', "[1", "//", "\ufeff{}", "\x0b1"),
)


@pytest.fixture(params=["its own code", "none"])
def code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without what Python is compiled with."""
    if request.param == "none":
        monkeypatch.setattr(json_text, "_json", None)


@given(VALUES, st.sampled_from(["", " ", "\n\t\r "]))
def test_what_is_written_is_read(
    value: dict[str, Any] | list[Any] | str | None, space: str
) -> None:
    text = json_text.dumps(value)
    assert text == json.dumps(value)
    assert json_text.loads(f"{space}{text}{space}") == value
    assert json_text.dumps(value, ascii=False) == json.dumps(value, ensure_ascii=False)
    assert json_text.dumps(value, sort_keys=True) == json.dumps(value, sort_keys=True)


@given(st.text())
def test_any_text_is_read_or_refused_alike(text: str) -> None:
    assert outcome(json_text.loads, text) == outcome(json.loads, text)


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_what_is_nested_too_deep_is_refused(opening: str) -> None:
    with pytest.raises(ValueError, match="it is nested too deep"):
        json_text.loads(opening * 30_000)


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_is_named_as_json_names_it(code: None, text: str) -> None:
    assert outcome(json_text.loads, text) == outcome(json.loads, text)
    assert outcome(json.loads, text).startswith("JSONDecodeError")


def test_what_json_does_not_know_is_read_all_the_same(code: None) -> None:
    low, high = json_text.loads("[-Infinity, 1e400]")
    assert (low, high) == (-math.inf, math.inf)
    assert math.isnan(json_text.loads("NaN"))


def test_nesting_without_end_is_an_error_that_callers_know(code: None) -> None:
    with pytest.raises((ValueError, RecursionError)):
        json_text.loads("[" * 200_000)


def test_what_is_no_value_of_json_is_refused(code: None) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        json_text.dumps({"a": {1, 2}})


def test_an_object_has_a_line_for_each_key(code: None) -> None:
    values = {"a": [1, {"b": None}], "c": "x\ny"}
    text = json_text.dumps_lines(values)
    assert text == '{\n "a": [1, {"b": null}],\n "c": "x\\ny"\n}\n'
    assert json.loads(text) == values


def outcome(read: Callable[..., Any], text: str) -> str:
    try:
        return repr(read(text))
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
