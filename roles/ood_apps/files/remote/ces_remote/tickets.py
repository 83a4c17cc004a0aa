# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs of this user whose files are not all here yet, one small file for each.

STATE/remote/CLUSTER/JOB.json        a ticket: there until everything has been brought back
STATE/remote/CLUSTER/JOB.lock        held by who brings it
STATE/remote/CLUSTER/submitting-*    a submission that is under way; locked by who does it
STATE/remote/CLUSTER/lost-*.json     one whose answer never came
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ces.dataclass import asdict, dataclass, fields, replace
from ces.errors import CesError
from ces.system.files import private_directory, read_json, remove_quietly, try_lock, write_atomic
from ces.typed import Any

from .runtime import open_lock
from .site import home


@dataclass(frozen=True)
class Ticket:
    """A job that was submitted to a back-end.

    :param directory: the job's directory here.
    :param place: its place there, relative to what stands for the home.
    :param log: the name of its log in that directory; empty if it lies elsewhere.
    :param since: time (ns, of the file server there) after which files are the job's doing.
    :param new: the directory there was made for this job.
    :param over: when it was first seen to have ended (s since 1970), or 0.
    :param refused: how often what it wrote could not be written here.
    """

    job: str
    directory: str
    place: str
    log: str = ""
    since: int = 0
    new: bool = True
    submitted: float = 0.0
    over: float = 0.0
    refused: int = 0


class Tickets:
    """Those of one back-end."""

    def __init__(self, cluster: str) -> None:
        state = os.environ.get("XDG_STATE_HOME") or f"{home()}/.local/state"
        self.directory = f"{state}/ces/remote/{cluster}"

    def prepare(self) -> None:
        """Make the directory."""
        private_directory(self.directory)

    def path(self, name: str) -> str:
        return f"{self.directory}/{name}.json"

    def save(self, ticket: Ticket, name: str = "") -> None:
        """Write it in one step."""
        write_atomic(self.path(name or ticket.job), json.dumps(asdict(ticket)) + "\n")

    def load(self, name: str) -> Ticket | None:
        """The ticket of a job, if something of it is missing here."""
        try:
            raw = read_json(self.path(name), "the ticket of a job")
        except CesError:
            return None
        return _ticket(raw)

    def seen_over(self, ticket: Ticket) -> Ticket:
        """Its job has ended; remembers when that was seen first."""
        if ticket.over:
            return ticket
        ticket = replace(ticket, over=time.time())
        self.save(ticket)
        return ticket

    def close(self, name: str) -> None:
        """Everything is here."""
        remove_quietly(self.path(name))
        remove_quietly(f"{self.directory}/{name}.lock")

    def remove_locks(self) -> None:
        """Locks of jobs that somebody else closed meanwhile."""
        open_jobs = set(self.names()) | set(self.names(lost=True))
        with suppress(OSError):
            for entry in os.listdir(self.directory):
                if entry.endswith(".lock") and entry[:-5] not in open_jobs:
                    remove_quietly(f"{self.directory}/{entry}")

    def names(self, lost: bool = False) -> list[str]:
        """Open jobs; or the submissions that were lost."""
        try:
            entries = os.listdir(self.directory)
        except OSError:
            return []
        names = [entry[:-5] for entry in entries if entry.endswith(".json")]
        return sorted(name for name in names if name.startswith("lost-") == lost)

    @contextmanager
    def mine(self, name: str, timeout: float = 0) -> Iterator[bool]:
        """Answer for a job while in the block; False if somebody else does."""
        end = time.monotonic() + timeout
        descriptor = open_lock(f"{self.directory}/{name}.lock")
        try:
            held = try_lock(descriptor)
            while not held and time.monotonic() < end:
                time.sleep(0.05)
                held = try_lock(descriptor)
            yield held
        finally:
            os.close(descriptor)

    def due(self, every: float) -> bool:
        """Whether it is time to look after all jobs again; if so, the next time is later."""
        path = f"{self.directory}/swept"
        with suppress(OSError):
            if 0 <= time.time() - os.stat(path).st_mtime < every:
                return False
        try:
            write_atomic(path, "", durable=False)
        except CesError:
            return False
        return True


def _ticket(raw: Any) -> Ticket | None:
    """A ticket that is as we write them."""
    known = {item.name for item in fields(Ticket)}
    if not isinstance(raw, dict) or not {"job", "directory", "place"} <= set(raw):
        return None
    return Ticket(**{key: value for key, value in raw.items() if key in known})
