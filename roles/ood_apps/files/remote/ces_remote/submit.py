# SPDX-License-Identifier: GPL-3.0-or-later
"""sbatch: a job's directory and its script go to the back-end and are submitted, in one breath."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ces.dataclass import replace
from ces.errors import CesError, Interrupted
from ces.system.files import passing_file, random_name, remove_abandoned
from ces.typed import Any

from . import tree
from .answer import told
from .one_shot import remove_one_shot
from .options import DIRECTORY, environment, last, log_of, submission
from .site import Site, home
from .ssh import BackEnd, NotConnected, Unreachable
from .tickets import Ticket, Tickets

_MIB = 1 << 20
_SUBMITTING = "submitting"


def sbatch(site: Site, words: list[str]) -> int:
    """Submit the script that is on standard input, as sbatch does."""
    script = sys.stdin.buffer.read()
    root = home_for(words)
    wanted = submission(words, root)
    tickets = Tickets(site.cluster)
    tickets.prepare()
    supersede(tickets, wanted.directory)
    ticket = Ticket("", wanted.directory, os.path.relpath(wanted.directory, root))
    with signals_as_errors(), one_side_only(site, tickets, ticket):
        check_size(site, wanted.directory)
        answer = send(site, words, script, ticket, environment(wanted.variables, os.environ))
        job = answer["out"].strip().split(";")[0]
        if answer["rc"] == 0 and job.isascii() and job.isdigit():
            ticket = Ticket(
                job,
                ticket.directory,
                ticket.place,
                log_of(wanted.log, job),
                answer["since"],
                answer["new"],
                time.time(),
            )
            tickets.save(ticket)
    return told(answer)


def home_for(words: list[str]) -> str:
    """The home as the arguments call it: a link may lead to it."""
    names = (home(), os.path.realpath(home()))
    return next((name for name in names if last(words, *DIRECTORY).startswith(f"{name}/")), home())


def send(
    site: Site, words: list[str], script: bytes, ticket: Ticket, variables: dict[str, str]
) -> dict[str, Any]:
    """Copy and submit.

    :raises CesError: neither was done; or whether both were is not known, and is seen to later.
    """
    back_end = BackEnd(site)

    def feed(stream: Any) -> None:
        stream.write(script)
        with tree.writing(stream) as tar:
            tree.pack(tar, ticket.directory, "session")

    try:
        return back_end.ask(
            "submit",
            feed=feed,
            timeout=site.timeout * 6,
            argv=["sbatch", *words],
            place=ticket.place,
            directory=ticket.directory,
            script=len(script),
            environment=variables,
            one_shot=site.one_shot,
        )
    except NotConnected:
        raise
    except Unreachable:
        # the answer may be what was lost
        save_lost(Tickets(site.cluster), ticket)
        raise


def save_lost(tickets: Tickets, ticket: Ticket) -> None:
    """Remember a submission that the portal takes for failed, whatever it is there."""
    tickets.save(replace(ticket, submitted=time.time()), f"lost-{random_name()}")


def check_size(site: Site, directory: str) -> None:
    """A home, or data, that somebody named as the directory of a job is not copied.

    :raises CesError: it is too large, or not there.
    """
    if not os.path.isdir(directory) or os.path.islink(directory):
        raise CesError(f"copy the job's directory {directory}", said="it is no directory")
    found = tree.measure(directory)
    if found.size > site.submit_limit * _MIB or found.files > site.submit_files:
        raise CesError(
            f"copy the job's directory {directory} to {site.host}",
            said=f"it holds {found.size // _MIB} MiB in {found.files} files, and at most"
            f" {site.submit_limit} MiB in {site.submit_files} files are copied",
            hint="Put large files on the back-end by themselves, and refer to them there",
        )


# --- what a job reads once is on one side only ---------------------------------------------------


@contextmanager
def one_side_only(site: Site, tickets: Tickets, ticket: Ticket) -> Iterator[None]:
    """Whatever happens in the block, afterwards what the job reads once is not here."""
    try:
        with passing_file(
            tickets.directory, _SUBMITTING, json.dumps([ticket.directory, ticket.place])
        ):
            yield
    finally:
        remove_one_shot(site, ticket.directory)


def supersede(tickets: Tickets, directory: str) -> None:
    """A directory is submitted anew: nobody may take that job for one that was lost before."""
    for name in tickets.names(lost=True):
        lost = tickets.load(name)
        if lost is not None and lost.directory == directory:
            with tickets.mine(name, timeout=30):
                tickets.close(name)


def sweep_killed(site: Site, tickets: Tickets) -> None:
    """Do what submissions that were killed could not."""

    def first(path: str, text: str) -> None:
        with suppress(ValueError):
            directory, place = (str(part) for part in json.loads(text))
            remove_one_shot(site, directory)
            save_lost(tickets, Ticket("", directory, place))

    with suppress(FileNotFoundError):
        remove_abandoned(tickets.directory, (_SUBMITTING,), first)


@contextmanager
def signals_as_errors() -> Iterator[None]:
    """Let what is to be done at the end be done when we are told to stop."""

    def stop(number: int, _frame: Any) -> None:
        raise Interrupted("submit the job", signal.Signals(number).name)

    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
