# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job writes on the back-end is brought into the portal's home.

A little comes with each poll (live.py), all of it at the end; each file in one step, and as often
as one likes.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress

from ces.errors import CesError
from ces.system.files import explained
from ces.typed import Any

from . import tree
from .far_copy import OUTPUTS
from .live import content_of, directory_of, replace_file
from .one_shot import remove_one_shot
from .protocol import SUMMARY
from .site import Site, home
from .ssh import BackEnd
from .tickets import Ticket

_MIB = 1 << 20
_LACKS = ("left", "log_cut", "unread", "refused")
"""What keeps the directory there from being removed."""


def bring_all(back_end: BackEnd, ticket: Ticket) -> None:
    """Everything that the ended job wrote; removes nothing there but what it should have read.

    :raises CesError: something did not come, and nothing is half there.
    """
    site = back_end.site
    got: dict[str, Any] = {}
    if not os.path.isdir(ticket.directory):
        # the user has removed it
        back_end.ask("clear", place=ticket.place, one_shot=site.one_shot)
        return
    with explained(f"write into the job's directory {ticket.directory}"):
        os.close(directory_of(ticket.directory))
        tree.remove_temporary(ticket.directory)

    def take(stream: Any) -> None:
        with explained(f"write what job {ticket.job} left into {ticket.directory}"):
            got.update(_received(site, ticket, stream))

    answer = back_end.ask(
        "fetch",
        take=take,
        timeout=3600,
        place=ticket.place,
        since=ticket.since,
        log=ticket.log,
        record=site.record,
        one_shot=site.one_shot,
        session_limit=site.session_limit * _MIB,
        log_limit=site.log_limit * _MIB,
        outputs_limit=site.outputs_limit * _MIB,
        outputs_files=site.outputs_files,
    )
    remove_one_shot(site, ticket.directory)
    if "gone" in answer:
        got.update(left=[], log_cut=0, unread=0, refused=[], gone=answer["gone"])
    _remark(site, ticket, got)
    if site.remove and ticket.new and not any(got[what] for what in _LACKS):
        back_end.ask("remove", place=ticket.place)


def _received(site: Site, ticket: Ticket, stream: Any) -> dict[str, Any]:
    import tarfile

    found: dict[str, Any] = {}

    def where(prefix: str, parts: list[str]) -> str | None:
        if prefix in ("session", "record") and parts[-1] not in site.one_shot:
            return ticket.directory
        if prefix == "outputs" and OUTPUTS.match(parts[0]):
            return home()
        return None

    try:
        with tree.reading(stream) as tar:
            found["refused"] = tree.unpack(
                tar, where, {SUMMARY: lambda raw: found.update(_summary(raw))}
            )
    except (tarfile.TarError, ValueError, RecursionError) as error:
        raise EOFError(str(error)) from error
    if "left" not in found:
        raise EOFError("the files did not all arrive")
    return found


def _summary(raw: bytes) -> dict[str, Any]:
    said = json.loads(raw)
    return {"left": list(said["left"]), **{k: int(said[k]) for k in ("log_cut", "unread")}}


def _remark(site: Site, ticket: Ticket, got: Mapping[str, Any]) -> None:
    """Add to the log what was not brought, and where it is."""
    lines = []
    for path, size, most in got["left"]:
        lines.append(
            f"{_printable(path)} is {_mib(size)} MiB, of which at most {_mib(most)} MiB are"
            f" brought here: it is on {site.host}"
        )
    if got["log_cut"]:
        lines.append(
            f"the first {_mib(got['log_cut'])} MiB of this log are only on {site.host}:"
            f" {_printable(ticket.place)}/{ticket.log}"
        )
    if got["refused"] or got["unread"]:
        lines.append(
            f"{len(got['refused']) + got['unread']} files could not be brought: they are no plain"
            f" files, or belong to another user; they are on {site.host}"
        )
    if "gone" in got:
        lines.append(f"{got['gone']} is not on {site.host} any more: nothing could be brought")
    if not lines or not ticket.log or "/" in ticket.log:
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = "".join(f"{now} portal: {line}\n" for line in lines)
    with suppress(OSError, CesError):
        directory = directory_of(ticket.directory)
        try:
            old = content_of(directory, ticket.log) or b""
            replace_file(directory, ticket.log, old + text.encode("utf-8", "surrogateescape"))
        finally:
            os.close(directory)


def _printable(text: str) -> str:
    return re.sub(r"[^ -~]", "?", str(text))


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f}"
