# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns of values, for those who read none of our Python: Ruby and browsers check by the same.

Browsers read them with the flag v: in ``[]`` a minus and a slash are escaped. The commands do not
load this: they check without regular expressions, by what these are made of.
"""

from __future__ import annotations

from .image import COMPONENT_SEPARATORS, DIGEST_LENGTH, NAME_MAX, TAG_MAX
from .spec import CONTAINER_NAME
from .words import ENV_NAME

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?"
_PORT = ":[0-9]+"
_HOSTS = (
    "localhost",
    rf"{_LABEL}(?:\.{_LABEL})+(?:{_PORT})?",
    f"{_LABEL}{_PORT}",
    rf"\[[0-9a-fA-F:]+\](?:{_PORT})?",
)
"""What names a host, and not a part of a path."""
_SEPARATOR = "|".join([*(mark.replace(".", r"\.") for mark in COMPONENT_SEPARATORS), "-+"])
_COMPONENT = f"[a-z0-9]+(?:(?:{_SEPARATOR})[a-z0-9]+)*"
_TAG = rf"(?::[a-zA-Z0-9_][a-zA-Z0-9_.\-]{{0,{TAG_MAX - 1}}})?"
_HASHES = "|".join(f"{name}:[0-9a-f]{{{length}}}" for name, length in DIGEST_LENGTH.items())
_DIGEST = f"(?:@(?:{_HASHES}))?"

PATTERNS = {
    # the first part counts the characters of the name
    "image": rf"(?=.{{1,{NAME_MAX}}}{_TAG}{_DIGEST}$)(?:{'|'.join(_HOSTS)})"
    rf"\/{_COMPONENT}(?:\/{_COMPONENT})*{_TAG}{_DIGEST}",
    "container_name": CONTAINER_NAME,
    "env_name": ENV_NAME,
}
"""By what they are patterns of."""
