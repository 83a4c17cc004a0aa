# SPDX-License-Identifier: GPL-3.0-or-later
"""How text is shown that is not ours: an image, a registry or a container wrote it, or a person."""

from __future__ import annotations

HIDDEN = "(not shown: it looks like a token)"
_PREFIXES = "gh[opsru]_|github_pat_|gl(?:pat|dt|cbt)-|dckr_[a-z]{3}_|hf_|nvapi-|eyJ"
"""How the tokens of well-known registries begin."""
_TOKEN = rf"""(?x) (?<![A-Za-z0-9])
  (?: (?:{_PREFIXES}) (?=[A-Za-z0-9_.=+-]*[0-9]) [A-Za-z0-9_.=+-]{{20,}}
    | (?<!sha256[:-]) (?<!sha384[:-]) (?<!sha512[:-])   # a digest is no secret
      (?: (?=[a-z0-9]*[A-Z]) (?=[A-Z0-9]*[a-z]) (?=[A-Za-z]*[0-9]) [A-Za-z0-9]{{16,}}
        | (?=[A-Za-z]*[0-9]) (?=[0-9]*[A-Za-z]) [A-Za-z0-9]{{32,}} )
      [+=]*
  )"""
"""A registry's token, or a long word of letters and digits that no person made up."""
_SHORTEST = 16
"""Characters of the shortest text that can hold such a word."""


def shown(text: str) -> str:
    """The text on one line, with ``\\x1b`` for the character that begins a terminal's commands.

    The same holds for every character that is not to be seen: line breaks, marks that turn the
    direction of writing, halves of characters.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    # as Python writes it in a string
    return repr(char)[1:-1]


def shown_lines(raw: bytes) -> bytes:
    """A program's output, each line as :func:`shown` has it."""
    text = raw.decode("utf-8", "backslashreplace")
    return "\n".join(map(shown, text.split("\n"))).encode("utf-8")


def without_tokens(text: str) -> str:
    """The text without the words that look like tokens: who mistypes one must not see it again."""
    if len(text) < _SHORTEST:
        return text
    import re

    return re.sub(_TOKEN, HIDDEN, text)
