# SPDX-License-Identifier: GPL-3.0-or-later
"""While a job runs: its log, and small files of its directory, come with each poll."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

from ces.typed import Any

from .new_file import new_file
from .site import Site
from .tickets import Ticket

LIVE_MOST = 1 << 20
"""Bytes of a log that come with one poll."""


def asked_live(site: Site, ticket: Ticket) -> dict[str, Any]:
    """What a poll asks for besides."""
    size = 0
    if ticket.log:
        with suppress(OSError):
            size = os.lstat(f"{ticket.directory}/{ticket.log}").st_size
    wanted = {"log": ticket.log, "offset": size, "most": LIVE_MOST if ticket.log else 0}
    return {"place": ticket.place, "live": site.live, **wanted}


def put_live(ticket: Ticket, answer: Mapping[str, Any]) -> None:
    """Write what a poll brought. It is tried again with the next."""
    with suppress(OSError):
        directory = directory_of(ticket.directory)
        try:
            for name, text in answer["small"].items():
                if text is not None:
                    replace_file(directory, name, text.encode("utf-8", "surrogateescape"))
            if answer["log"] is not None:
                _grow(directory, ticket.log, answer["log"])
        finally:
            os.close(directory)


def directory_of(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def replace_file(directory: int, name: str, content: bytes) -> None:
    """Write a file in one step, unless it is there with that content."""
    if content_of(directory, name) == content:
        return
    temporary, descriptor = new_file(directory, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(temporary, dir_fd=directory)
        raise


def content_of(directory: int, name: str) -> bytes | None:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=directory)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def _grow(directory: int, name: str, log: Mapping[str, Any]) -> None:
    """Add to the log what is new; one that has become shorter begins again."""
    content = log["text"].encode("utf-8", "surrogateescape")
    if "/" in name:
        return
    if log["start"] == 0:
        if content or log["size"] == 0:
            replace_file(directory, name, content)
        return
    if not content:
        return
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        if os.fstat(descriptor).st_size == log["start"]:
            os.pwrite(descriptor, content, log["start"])
    finally:
        os.close(descriptor)
