# SPDX-License-Identifier: GPL-3.0-or-later
"""What several tests need: waiting, processes that are gone, work done by an ordinary user."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import TypeVar

NOBODY = 65534
StartCommand = Callable[..., subprocess.Popen[str]]
"""The fixture ``command``: ``command("run", "podman", IMAGE)`` starts ``ces-run podman IMAGE``."""


T = TypeVar("T")


def there(found: T | None) -> T:
    """What must be there."""
    assert found is not None
    return found


def loaded(program: Path) -> ModuleType:
    """A program as a module; its name needs no .py."""
    loader = SourceFileLoader(program.stem, str(program))
    module = module_from_spec(there(spec_from_loader(loader.name, loader)))
    # where dataclasses look for the module of a class
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


def eventually(true: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until something holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not true after {seconds:g} s"
        time.sleep(0.01)


def make_sif(
    path: Path, config: object = None, architecture: bytes = b"00", files: bytes = b"none"
) -> Path:
    """An image file as apptainer makes one.

    :param config: what its image says of itself; None for an image from no registry.
    :param files: a squashfs file system.
    """
    objects = [(b"data", files), (b"inspect-metadata.json", b"{}")]
    if config is not None:
        said = config if isinstance(config, bytes) else json.dumps(config).encode()
        objects.insert(1, (b"oci-config.json", said))
    begin, size = 128, 48 * 585
    table, content = b"", b""
    partition = struct.pack("<ii", 1, 2)
    for number, (name, data) in enumerate(objects, 1):
        place = begin + size + len(content)
        numbers = (number, 1 << 31, 0, place, len(data), len(data), 0, 0, 0, 0)
        kind, extra = (0x4004, partition) if name == b"data" else (0x4006, b"")
        table += struct.pack("<i?III7q128s384s", kind, True, *numbers, name, extra)
        content += data
    head = struct.pack("<32s10s3s2sx", b"#!/usr/bin/env run\n", b"SIF_MAGIC", b"01", architecture)
    head += struct.pack("<16s8q", b"", 0, 0, 45, 48, begin, size, begin + size, len(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + table.ljust(size, b"\0") + content)
    return path


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that waits to be reaped has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def as_ordinary_user(work: Callable[[Path], None]) -> None:
    """Do it in a process of an ordinary user, with a directory of theirs: nothing stops root."""
    place = Path(tempfile.mkdtemp(prefix="ces-unit-"))
    try:
        if os.geteuid() != 0:
            work(place)
            return
        os.chown(place, NOBODY, NOBODY)
        child = os.fork()
        if child == 0:
            os._exit(_as_nobody(work, place))
        assert os.waitpid(child, 0)[1] == 0, (place / "traceback").read_text()
    finally:
        shutil.rmtree(place)


def _as_nobody(work: Callable[[Path], None], place: Path) -> int:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    try:
        work(place)
    except BaseException:
        (place / "traceback").write_text(traceback.format_exc())
        return 1
    return 0
