# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that roles keep on a host, in a directory that only root can enter."""

from __future__ import annotations

import hashlib
import json
import os

from ...blocks import contextmanager, suppress
from ...typed import Any, Iterator, Mapping
from ..files import LIST_MAX, explained, hold, read_if_there, write_atomic

PATIENCE = 300.0
"""Seconds for which a run of roles waits for another one on the same host: for a module of its."""


@contextmanager
def alone_with(directory: str, check: bool) -> Iterator[None]:
    """Change the lists of a directory, and what they list, while no other run of roles does.

    The directory itself is locked, which only root can open. An empty one does not stay.

    :param check: nothing will be changed, and nobody waits.
    :raises Busy: another one is at it for too long.
    :raises CesError: the directory cannot be made.
    """
    if check:
        yield
        return
    descriptor = _held(directory)
    try:
        yield
    finally:
        with suppress(OSError):
            os.rmdir(directory)
        os.close(descriptor)


def _held(directory: str) -> int:
    """The directory, open and locked."""
    while True:
        descriptor = _opened(directory)
        if descriptor is None:
            continue
        try:
            hold(descriptor, directory, timeout=PATIENCE)
            if _is_still(descriptor, directory):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _opened(directory: str) -> int | None:
    """The directory, made if it is missing; None where who held it removes it just now."""
    with explained(f"open {directory}"):
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except FileExistsError:
            if os.path.lexists(directory) and not os.path.isdir(directory):
                raise
            return None


def _is_still(descriptor: int, directory: str) -> bool:
    """Whether it has not been removed, by who held it before."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(directory))
    except FileNotFoundError:
        return False


def digest_of(text: str) -> str:
    """By which a list knows a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def noted_in(file: str) -> dict[str, Any]:
    """What a list has, by path; one that is missing or damaged is an empty one."""
    try:
        found: Any = json.loads(read_if_there(file, LIST_MAX))
    except (ValueError, RecursionError):
        return {}
    return dict(found) if isinstance(found, dict) else {}


def put_down(file: str, noted: Mapping[str, Any]) -> None:
    """Write a list.

    :raises CesError: it cannot be written.
    """
    os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
    write_atomic(file, json.dumps(noted, indent=1, sort_keys=True) + "\n")
