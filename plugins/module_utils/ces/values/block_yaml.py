# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of YAML in which programs write their files: blocks of mappings and lists, plain values.

The standard library has no reader of YAML, and ``nvidia-ctk cdi generate`` writes it unless it is
told otherwise. What people write by hand (anchors, tags, texts over several lines, ``{a: b}``) is
refused, never guessed at.
"""

from __future__ import annotations

import json
import re

from ..errors import CesError
from ..typed import Any

_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s"'&*!|>%@`{}\[\],#?-](?:[^#]|(?<!\s)#)*?):(?:\s+|$)"""
)
_REFUSED = "&*!|>%@`{["
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_EMPTY: dict[str, Any] = {"{}": {}, "[]": []}


def read_block_yaml(text: str, origin: str) -> Any:
    """The values in a text.

    :raises CesError: it is no YAML of that kind, naming the line.
    """
    lines = [
        _Line(number, len(line) - len(line.lstrip(" ")), line.strip(" \r"))
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip()
        and not line.lstrip().startswith("#")
        and line.rstrip() not in ("---", "...")
    ]
    reader = _Reader(lines, origin)
    value = reader.block(0) if lines else None
    if reader.left:
        reader.number = reader.left[-1].number
        raise reader.refused("it is indented otherwise than what stands before it")
    return value


class _Line:
    def __init__(self, number: int, indent: int, text: str) -> None:
        self.number, self.indent, self.text = number, indent, text


class _Reader:
    def __init__(self, lines: list[_Line], origin: str) -> None:
        self.left = lines[::-1]
        self.number = 0
        self._origin = origin

    def refused(self, why: str) -> CesError:
        return CesError(
            f"read {self._origin}",
            said=f"line {self.number}: {why}",
            hint="write the file as JSON: only YAML as programs write it can be read here",
        )

    def block(self, least: int) -> Any:
        """What begins at the next line, if that is indented enough; else nothing."""
        if not self.left or self.left[-1].indent < least:
            return None
        if self.left[-1].text == "-" or self.left[-1].text.startswith("- "):
            return self._list(self.left[-1].indent)
        if _KEY.match(self.left[-1].text):
            return self._mapping(self.left[-1].indent)
        return self._scalar(self._take())

    def _take(self) -> str:
        self.number = self.left[-1].number
        return self.left.pop().text

    def _list(self, indent: int) -> list[Any]:
        items = []
        while self.left and self.left[-1].indent == indent:
            line = self.left[-1]
            if line.text == "-":
                self._take()
                items.append(self.block(indent + 1))
            elif line.text.startswith("- "):
                # what follows the dash is a block of its own, indented by where it stands
                rest = line.text[2:].lstrip(" ")
                line.indent, line.text = indent + len(line.text) - len(rest), rest
                items.append(self.block(indent + 1))
            else:
                break
        return items

    def _mapping(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.left and self.left[-1].indent == indent:
            match = _KEY.match(self.left[-1].text)
            if match is None:
                break
            text = self._take()
            key, rest = str(self._scalar(match[1])), text[match.end() :]
            if key in found:
                raise self.refused(f"{key} is there twice")
            found[key] = self._scalar(rest) if rest else self._below(indent)
        return found

    def _below(self, indent: int) -> Any:
        """The value of a key that has none on its own line: a list may stand as far left as it."""
        if self.left and self.left[-1].indent == indent and self.left[-1].text[:2] in ("-", "- "):
            return self._list(indent)
        return self.block(indent + 1)

    def _scalar(self, text: str) -> Any:
        if text[:1] == '"':
            return self._quoted(text)
        if text[:1] == "'":
            if not re.fullmatch(r"'(?:[^']|'')*'\s*(\s#.*)?", text):
                raise self.refused(f"{text} is no text in quotes that ends on its line")
            return text[1 : text.rindex("'")].replace("''", "'")
        text = re.sub(r"\s+#.*", "", text).strip()
        if text in _EMPTY:
            return type(_EMPTY[text])()
        if text and (text[:1] in _REFUSED or re.search(r":(\s|$)", text)):
            raise self.refused(f"{text} is of a form that programs do not write")
        if text in _WORDS:
            return _WORDS[text]
        return int(text) if _NUMBER.fullmatch(text) else text

    def _quoted(self, text: str) -> str:
        match = re.fullmatch(r'("(?:[^"\\]|\\.)*")\s*(\s#.*)?', text)
        try:
            return str(json.loads(match[1] if match else ""))
        except ValueError:
            raise self.refused(f"{text} is no text in quotes that ends on its line") from None
