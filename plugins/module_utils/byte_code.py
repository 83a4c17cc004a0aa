# SPDX-License-Identifier: GPL-3.0-or-later
"""Byte code of Python sources, for the Python that runs this."""

from __future__ import annotations

import importlib.util
import py_compile
from pathlib import Path


def compiled(source: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(source)))


def is_compiled(source: Path) -> bool:
    """Whether this Python's byte code is there and made from this source (see PEP 552)."""
    try:
        header = compiled(source).read_bytes()[:16]
        status = source.stat()
    except OSError:
        return False
    times = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    recorded = (int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little"))
    return header[:4] == importlib.util.MAGIC_NUMBER and recorded == times


def compile_file(source: Path) -> None:
    py_compile.compile(str(source), doraise=True)
