# SPDX-License-Identifier: GPL-3.0-or-later
"""A token as it comes from standard input."""

from __future__ import annotations

from ..errors import InvalidValue

TOKEN_MAX = 64 * 1024
"""Bytes; no header can carry more."""

_BEGINNINGS = (
    (b"\xff\xfe", "it is UTF-16 text"),
    (b"\xfe\xff", "it is UTF-16 text"),
    (b"\xef\xbb\xbf", "it begins with a byte order mark, which would become part of the token"),
)
"""What some editors and shells put in front of a text."""


def token_from(raw: bytes) -> str:
    """The token; one line break at its end is none of it.

    :raises InvalidValue: it cannot be meant; what was read is never repeated.
    """
    for beginning, said in _BEGINNINGS:
        if raw.startswith(beginning):
            raise _refused(said, "save it as UTF-8 without a byte order mark")
    if b"\0" in raw:
        raise _refused("it holds NUL, as UTF-16 text does", "save it as UTF-8")
    if len(raw) > TOKEN_MAX:
        raise _refused("it is longer than 64 KiB", "give the token alone")
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    if not raw:
        raise _refused("it is empty", "give a file that has it: --password-stdin < FILE")
    if b"\n" in raw or b"\r" in raw:
        lines = len(raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
        raise _refused(f"it has {lines} lines", "give the token alone, on one line")
    return raw.decode("utf-8", "surrogateescape")


def _refused(said: str, hint: str) -> InvalidValue:
    return InvalidValue("a password", "standard input", said, hint)
