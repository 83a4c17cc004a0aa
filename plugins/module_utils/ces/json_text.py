# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON by the standard library's own C code; the Python around that takes 7 ms to load.

What that code does not take (a mistake in the text, a value that JSON has not) is left to ``json``,
and so is everything where a Python has no such code: it answers or complains as it always does.
"""

from __future__ import annotations

from .blocks import suppress
from .typed import Any, Mapping

_json: Any = None
with suppress(ImportError):
    import _json

_SPACE = " \t\n\r"


class _Ways:
    """How values are read: as ``json.loads`` does without further arguments."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def loads(text: str) -> Any:
    """As ``json.loads``; what is nested too deep for Python is no JSON either.

    :raises ValueError: it is none.
    """
    with suppress(Exception):
        scan = _json.make_scanner(_Ways)
        value, end = scan(text, len(text) - len(text.lstrip(_SPACE)))
        if not text[end:].strip(_SPACE):
            return value
    import json

    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def dumps(value: Any, ascii: bool = True, sort_keys: bool = False) -> str:
    """As ``json.dumps``; ``ascii`` is its ``ensure_ascii``."""
    with suppress(Exception):
        quote = _json.encode_basestring_ascii if ascii else _json.encode_basestring
        spell = _json.make_encoder(None, None, quote, None, ": ", ", ", sort_keys, False, True)
        return "".join(spell(value, 0))
    import json

    return json.dumps(value, ensure_ascii=ascii, sort_keys=sort_keys)


def dumps_lines(values: Mapping[str, Any]) -> str:
    """A JSON object with a line for each of its keys, for people who read it."""
    lines = (f" {dumps(key)}: {dumps(value)}" for key, value in values.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"
