# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads of programs: of this machine's own, of others, and of whatever bytes."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.values.elf import HEAD, Elf
from ansible_collections.tre.ces.plugins.module_utils.ces.values.platform import architecture_of


def head(machine: int, wide: bool = True, big: bool = False) -> bytes:
    ident = b"\x7fELF" + bytes([1 + wide, 1 + big, 1])
    order = ">" if big else "<"
    return ident.ljust(16, b"\0") + struct.pack(f"{order}HH", 2, machine) + bytes(44)


def test_a_program_of_this_machine_is_for_its_processor_and_names_its_loader() -> None:
    content = Path(sys.executable).resolve().read_bytes()
    elf = Elf.parse(content[:HEAD])
    assert elf is not None
    assert elf.processor == architecture_of(os.uname().machine)
    place = elf.loader(content[elf.table : elf.table + elf.count * elf.entry])
    assert place is not None
    loader = content[place[0] : place[0] + place[1]].rstrip(b"\0").decode()
    assert loader.startswith("/") and Path(loader).exists()


@pytest.mark.parametrize(
    ("raw", "processor"),
    [
        (head(62), "amd64"),
        (head(3, wide=False), "386"),
        (head(183), "arm64"),
        (head(40, wide=False), "arm"),
        (head(21, big=True), "ppc64"),
        (head(21), "ppc64le"),
        (head(22, big=True), "s390x"),
        (head(243), "riscv64"),
        (head(999), "processor 999"),
    ],
)
def test_processors_are_called_as_registries_call_them(raw: bytes, processor: str) -> None:
    elf = Elf.parse(raw)
    assert elf is not None and elf.processor == processor
    assert elf.loader(b"") is None


@pytest.mark.parametrize(
    "raw", [b"", b"\x7fEL", b"\x7fELF\2\1", b"#!/bin/sh\n", b"MZ" + b"\0" * 62]
)
def test_what_is_no_program_of_this_form_is_none(raw: bytes) -> None:
    assert Elf.parse(raw) is None


@given(st.binary(max_size=64), st.binary(max_size=500))
def test_whatever_bytes_there_are_they_are_read(raw: bytes, table: bytes) -> None:
    elf = Elf.parse(b"\x7fELF" + raw)
    if elf is not None:
        assert elf.count * elf.entry <= 128 * 65535
        found = elf.loader(table)
        assert found is None or found[0] >= 0
