# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens as editors and shells of all systems hand them over."""

from __future__ import annotations

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import InvalidValue
from ansible_collections.tre.ces.plugins.module_utils.ces.values.token import token_from

LINE = "s3cr\u20act p'a\"s $s`id`"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_token_is_what_stands_on_the_line(end: str) -> None:
    assert token_from(f"{LINE}{end}".encode()) == LINE


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    assert token_from(b"\xff\xe9x").encode("utf-8", "surrogateescape") == b"\xff\xe9x"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "it is empty"),
        (b"\r\n", "it is empty"),
        (LINE.encode("utf-8-sig"), "byte order mark"),
        (LINE.encode("utf-16"), "it is UTF-16"),
        (b"\xfe\xff" + LINE.encode("utf-16-be"), "it is UTF-16"),
        (LINE.encode("utf-16-le"), "as UTF-16 text does"),
        (f"{LINE}\n\n".encode(), "it has 2 lines"),
        (f"{LINE}\r\n\r\n".encode(), "it has 2 lines"),
        (f"user\n{LINE}\n".encode(), "it has 2 lines"),
        (b"\n" + LINE.encode(), "it has 2 lines"),
        (LINE.encode() * 10_000, "longer than 64 KiB"),
    ],
)
def test_what_cannot_be_meant_is_told_and_not_repeated(raw: bytes, said: str) -> None:
    with pytest.raises(InvalidValue, match=said) as caught:
        token_from(raw)
    assert "s3cr" not in str(caught.value)
    assert caught.value.hint
