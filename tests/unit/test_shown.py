# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign words in messages: they command no terminal, and repeat no token."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, InvalidValue
from ansible_collections.tre.ces.plugins.module_utils.ces.shown import (
    HIDDEN,
    shown,
    shown_lines,
    without_tokens,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord

HEX = "0123456789abcdef"
TOKENS = [
    f"ghp_{'16C7e42F292c6912E7710c838347Ae178B4a'}",
    f"github_pat_{'11ABCDEFG0abcdefghijkl_' * 3}",
    f"glpat-{'abc-DEF_123456789012'}",
    f"dckr_pat_{'abcDEF123456_7890-xyz012345'}",
    f"eyJ{'hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3'}",
    HEX * 2 + "01234567",
    "Zw9qLr5vKdX3mTa0",
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
]
NO_TOKENS = [
    "registry.example.org:5000/project/analysis-of-many-long-names:v1.2.3-RC1-linux-amd64-cuda12",
    f"registry.example.org/p/app@sha256:{HEX * 4}",
    f"/home/ada/.local/share/ces/sif/digests/sha256-{HEX * 4}.sif",
    "/home/ada/results-of-2026-11-28T12:00:00Z/input_file_number_123.txt",
    "glossary-2026-of-all-words-there-are",
    "SingleCellRNASequencing",
    "NAME=value",
]


@pytest.mark.parametrize("token", TOKENS)
def test_what_looks_like_a_token_is_not_repeated(token: str) -> None:
    assert without_tokens(token) == HIDDEN
    assert without_tokens(f"could not use '{token}' as an image") == (
        f"could not use '{HIDDEN}' as an image"
    )
    assert token[5:12] not in str(InvalidValue("an image", token, f"{token!r} is none"))
    path = f"registry.example.org/project/app:{token}"
    assert without_tokens(path) == f"registry.example.org/project/app:{HIDDEN}"


@pytest.mark.parametrize("text", NO_TOKENS)
def test_names_digests_and_paths_are_shown(text: str) -> None:
    assert without_tokens(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "a" * 500_000,
        "aA" * 200_000,
        "a1" * 200_000,
        "a1 " * 200_000,
        "eyJ" * 200_000,
        "A-" * 200_000,
    ],
    ids=lambda text: text[:3],
)
def test_no_text_takes_long(text: str) -> None:
    begin = time.process_time()
    without_tokens(text)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain \u00e9\u20ac\u4e2d", "plain \u00e9\u20ac\u4e2d"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("half \udcff", r"half \udcff"),
        ("bell\x07", r"bell\x07"),
        (r"a\b", r"a\b"),
    ],
)
def test_no_character_commands_a_terminal(text: str, said: str) -> None:
    assert shown(text) == said


def test_a_programs_output_keeps_its_lines() -> None:
    raw = "one \u20ac\ntwo \x1b[31m\u202e\n".encode() + b"\xff\x9b\n"
    assert shown_lines(raw).decode() == "one \u20ac\n" r"two \x1b[31m\u202e" "\n" r"\xff\x9b" "\n"


@given(st.text())
def test_what_is_shown_is_printable_and_stays_the_same(text: str) -> None:
    assert shown(text).isprintable()
    assert shown(shown(text)) == shown(text)
    assert CesError(text, said=text, hint=text).as_result()["msg"].isprintable()


def test_a_record_shows_the_words_of_an_engine() -> None:
    record = RunRecord(1, reason="podman: Error: \x1b]0;title\x07\x1b[2J")
    assert record.as_dict()["reason"] == r"podman: Error: \x1b]0;title\x07\x1b[2J"
