# SPDX-License-Identifier: GPL-3.0-or-later
"""STOPSIGNAL and EXPOSE, as podman reads them (tried with 5.4)."""

from __future__ import annotations

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.grammar import (
    is_heard,
    is_port,
    is_signal,
)


@pytest.mark.parametrize(
    "text", ["SIGTERM", "term", "SIGRTMIN+3", "RTMAX-14", "SIGRTMIN", "9", "64", "SIGWINCH"]
)
def test_a_signal_is_one(text: str) -> None:
    assert is_signal(text)


@pytest.mark.parametrize(
    "text", ["", "SIG", "SIGNONE", "0", "65", "-9", "9" * 5000, "RTMIN+16", "RTMIN-1", "\u00b2"]
)
def test_what_is_none_is_none(text: str) -> None:
    assert not is_signal(text)


@pytest.mark.parametrize(
    ("text", "heard"), [("SIGKILL", False), ("9", False), ("stop", False), ("QUIT", True)]
)
def test_a_program_hears_of_most(text: str, heard: bool) -> None:
    assert is_heard(text) is heard


@pytest.mark.parametrize(
    "text", ["80", "80/", "8000-8010/udp", "80/TCP", "080", "65535/sctp", "1-1"]
)
def test_a_port_is_one(text: str) -> None:
    assert is_port(text)


@pytest.mark.parametrize(
    "text", ["", "/tcp", "abc", "80/foo", "0", "65536", "90-80", "-80", "80-", "80/tcp/x", "\u00b2"]
)
def test_what_is_no_port_is_none(text: str) -> None:
    assert not is_port(text)
