# SPDX-License-Identifier: GPL-3.0-or-later
"""squeue and scancel: how the portal learns that a job is over, and how its files come by then.

The portal asks until it is told that a job is over, and then never again. So it is told that only
when the files are here; while they cannot be had the job counts as undetermined, for a bounded
time.
"""

from __future__ import annotations

import sys
import time

from ces.dataclass import replace
from ces.errors import CesError
from ces.typed import Any

from .answer import told
from .live import asked_live, put_live
from .options import job_of, jobs_named
from .protocol import LIVE
from .site import Site
from .ssh import BackEnd, Unreachable, detach, waited
from .tickets import Ticket, Tickets

SWEEP_EVERY = 60
FINISH_FOR = 600
"""Seconds for which a process of ours looks after a job whose end the portal does not await."""
ARRIVE_WITHIN = 5
"""Seconds within which a submission that was killed here begins to arrive there, or never."""
REFUSED_MOST = 20
"""So often it is tried to write what cannot be written: the home may be full."""


def squeue(site: Site, words: list[str]) -> int:
    """Pass the question on; bring what the job in question has written."""
    tickets, back_end = Tickets(site.cluster), BackEnd(site)
    job = job_of(words)
    ticket = tickets.load(job) if job else None
    others = [name for name in tickets.names() if name != job]
    if (others or tickets.names(lost=True)) and tickets.due(SWEEP_EVERY):
        detach(["sweep", site.cluster])
    live = asked_live(site, ticket) if ticket and not ticket.over else {}
    answer = back_end.ask(
        "poll", patient=False, argv=["squeue", *words], jobs=[job] if ticket else [], **live
    )
    if ticket is None:
        return told(answer)
    if live:
        with tickets.mine(job) as mine:
            if mine:
                put_live(ticket, answer)
    if is_over(answer, job) and not is_here(site, tickets, ticket):
        print(
            f"job {job} on {site.cluster} is over, and what it wrote is being brought here:"
            " look again in a moment",
            file=sys.stderr,
        )
        return 1
    return told(answer)


def is_over(answer: dict[str, Any], job: str) -> bool:
    """Whether Slurm said so: no answer is not an end."""
    return job in answer["states"] and answer["states"][job] not in LIVE


def is_here(site: Site, tickets: Tickets, ticket: Ticket) -> bool:
    """Whether an ended job may count as such: its files are here, or it has been tried for long."""
    ticket = tickets.seen_over(ticket)
    child = detach(["finish", site.cluster, ticket.job])
    waited(child, site.patience)
    late = time.time() - ticket.over > site.hold
    return late or tickets.load(ticket.job) is None


def scancel(site: Site, words: list[str]) -> int:
    """Cancel, and see to the end by ourselves: the portal does not ask any more."""
    answer = BackEnd(site).ask("run", argv=["scancel", *words])
    tickets = Tickets(site.cluster)
    for job in jobs_named(words):
        if tickets.load(job) is not None:
            detach(["finish", site.cluster, job])
    return told(answer)


def passed_on(site: Site, words: list[str], stdin: bytes = b"") -> int:
    """Any other command of Slurm, or one of ours."""
    answer = BackEnd(site).ask(
        "run", feed=lambda stream: stream.write(stdin), argv=words, patient=False
    )
    return told(answer)


# --- processes of ours ---------------------------------------------------------------------------


def finish(site: Site, job: str) -> int:
    """Wait for a job's end, for a bounded time, and bring everything."""
    tickets, back_end = Tickets(site.cluster), BackEnd(site)
    end, pause = time.monotonic() + FINISH_FOR, 0.2
    with tickets.mine(job) as mine:
        # somebody else is at it otherwise
        while mine and time.monotonic() < end:
            ticket = tickets.load(job)
            if ticket is None or closed(tickets, back_end, ticket):
                return 0
            time.sleep(pause)
            pause = min(30, pause * 1.5)
    return 1


def closed(tickets: Tickets, back_end: BackEnd, ticket: Ticket) -> bool:
    """Bring everything of a job if it is over; whether there is nothing more to do for it."""
    from .bring import bring_all

    try:
        if not ticket.over:
            answer = back_end.ask("poll", argv=[], jobs=[ticket.job], patient=False)
            if not is_over(answer, ticket.job):
                return False
            ticket = tickets.seen_over(ticket)
        bring_all(back_end, ticket)
    except Unreachable:
        return False
    except CesError:
        tickets.save(replace(ticket, refused=ticket.refused + 1))
        return False
    tickets.close(ticket.job)
    return True


def sweep(site: Site) -> int:
    """Look after all jobs and submissions that somebody should have seen to."""
    from .submit import sweep_killed

    tickets, back_end = Tickets(site.cluster), BackEnd(site)
    sweep_killed(site, tickets)
    tickets.remove_locks()
    for name in tickets.names(lost=True):
        forget(tickets, back_end, name)
    names = [name for name in tickets.names() if name.isdigit()]
    found = back_end.ask("poll", argv=[], jobs=names)["states"] if names else {}
    for name in names:
        if found.get(name, "PENDING") not in LIVE:
            swept(tickets, back_end, name)
    return 0


def swept(tickets: Tickets, back_end: BackEnd, job: str) -> None:
    """An ended job that nobody may ask for any more."""
    with tickets.mine(job) as mine:
        ticket = tickets.load(job) if mine else None
        if ticket is None:
            return
        ticket = tickets.seen_over(ticket)
        old = time.time() - ticket.over > back_end.site.keep
        if not closed(tickets, back_end, ticket) and (old or ticket.refused > REFUSED_MOST):
            tickets.close(job)


def forget(tickets: Tickets, back_end: BackEnd, name: str) -> None:
    """A submission that may have arrived, and of which the portal was told that it failed."""
    with tickets.mine(name) as mine:
        ticket = tickets.load(name) if mine else None
        if ticket is None:
            return
        if time.time() - ticket.submitted > back_end.site.keep:
            tickets.close(name)
            return
        answer = back_end.ask("forget", place=ticket.place, one_shot=back_end.site.one_shot)
        if answer["rc"] == 0 and time.time() - ticket.submitted > ARRIVE_WITHIN:
            tickets.close(name)
