# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept and written on the portal's side."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ces.dataclass import replace
from ces.errors import CesError
from ces_remote import bring, follow, live, one_shot, runtime, submit
from ces_remote.site import Site
from ces_remote.ssh import BackEnd
from ces_remote.tickets import Ticket, Tickets
from support import there

SITE = Site("island", "login")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    (tmp_path / "job").mkdir()
    return tmp_path


@pytest.fixture
def ticket(home: Path) -> Ticket:
    return Ticket("77", f"{home}/job", "job", "log", since=5)


def came(start: int, text: str, size: int | None = None, **small: Any) -> dict[str, dict[str, Any]]:
    log = {"start": start, "size": len(text) if size is None else size, "text": text}
    return {"small": small, "log": log}


# --- with a poll ---------------------------------------------------------------------------------


def test_a_log_grows_and_begins_again(home: Path, ticket: Ticket) -> None:
    file = home / "job" / "log"
    for start, text, whole in (
        (0, "one\n", "one\n"),
        (4, "two\n", "one\ntwo\n"),
        (0, "new\n", "new\n"),
    ):
        live.put_live(ticket, came(start, text))
        assert file.read_text() == whole
    # two polls at once: what is there is not added again
    live.put_live(ticket, came(1, "twice"))
    assert file.read_text() == "new\n"
    live.put_live(ticket, came(4, "", size=4))
    assert file.read_text() == "new\n"
    assert live.asked_live(SITE, ticket)["offset"] == 4


def test_small_files_are_private_and_links_are_replaced(home: Path, ticket: Ticket) -> None:
    (home / "secret").write_text("mine\n")
    for name in ("log", "connection.yml"):
        (home / "job" / name).symlink_to(home / "secret")
    small: dict[str, Any] = {"connection.yml": "host: x\n", "progress": None}
    live.put_live(ticket, came(0, "x\n", **small))
    assert (home / "secret").read_text() == "mine\n"
    assert (home / "job" / "connection.yml").read_text() == "host: x\n"
    assert (home / "job" / "connection.yml").stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(home / "job")) == ["connection.yml", "log"]
    (home / "job" / "log").unlink()
    (home / "job" / "log").symlink_to(home / "secret")
    live.put_live(ticket, came(5, "added"))
    assert (home / "secret").read_text() == "mine\n"


def test_a_directory_that_is_gone_breaks_no_poll(ticket: Ticket) -> None:
    os.rmdir(ticket.directory)
    live.put_live(ticket, came(0, "x\n"))


# --- remarks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "said"),
    [
        ({"left": [["/h/outputs-1\n\x1b", 3 << 20, 1 << 20]]}, "/h/outputs-1?? is 3.0 MiB"),
        ({"log_cut": 2 << 20}, "the first 2.0 MiB of this log are only on login"),
        ({"unread": 1, "refused": ["x"]}, "2 files could not be brought"),
        ({"gone": "/h/job"}, "/h/job is not on login any more"),
    ],
)
def test_what_is_not_brought_is_told_in_the_log(
    home: Path, ticket: Ticket, got: dict[str, Any], said: str
) -> None:
    (home / "job" / "log").write_text("the job's\n")
    bring._remark(SITE, ticket, {"left": [], "log_cut": 0, "unread": 0, "refused": [], **got})
    first, remark = (home / "job" / "log").read_text().splitlines()
    assert first == "the job's"
    assert said in remark


# --- what a job reads once -----------------------------------------------------------------------


def secrets(home: Path) -> set[str]:
    return {name for name in SITE.one_shot if (home / "job" / name).exists()}


def test_it_is_gone_whatever_happens(home: Path, ticket: Ticket) -> None:
    tickets = Tickets("island")
    tickets.prepare()
    for ending in (None, CesError("x"), KeyboardInterrupt()):
        for name in SITE.one_shot:
            (home / "job" / name).write_text("secret")
        with suppress(CesError, KeyboardInterrupt), submit.one_side_only(SITE, tickets, ticket):
            assert secrets(home)
            if ending:
                raise ending
        assert not secrets(home)
        assert os.listdir(tickets.directory) == []


def test_a_link_by_its_name_is_removed_and_not_what_it_leads_to(home: Path) -> None:
    (home / "mine").write_text("mine")
    (home / "job" / "registry-token").symlink_to(home / "mine")
    (home / "job" / "options.txt").mkdir()
    one_shot.remove_one_shot(SITE, f"{home}/job")
    assert os.listdir(home / "job") == ["options.txt"]
    assert (home / "mine").read_text() == "mine"


def test_what_a_killed_submission_left_is_swept(home: Path, ticket: Ticket) -> None:
    tickets = Tickets("island")
    tickets.prepare()
    (home / "job" / "registry-token").write_text("secret")
    child = os.fork()
    if child == 0:
        with submit.one_side_only(SITE, tickets, ticket):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert secrets(home)
    submit.sweep_killed(SITE, tickets)
    assert not secrets(home)
    (lost,) = tickets.names(lost=True)
    assert there(tickets.load(lost)).place == "job"
    # the same directory again: nobody may cancel that job
    submit.supersede(tickets, ticket.directory)
    assert tickets.names(lost=True) == []


def test_a_lost_submission_may_begin_to_arrive_after_the_first_look(
    home: Path, ticket: Ticket, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = Tickets("island")
    tickets.prepare()
    asked = []

    def ask(_back_end: BackEnd, verb: str, **_how: object) -> dict[str, Any]:
        asked.append(verb)
        return {"rc": 0}

    monkeypatch.setattr(BackEnd, "ask", ask)
    back_end = BackEnd(SITE)
    for age, left in ((0, 1), (follow.ARRIVE_WITHIN + 1, 0)):
        tickets.save(replace(ticket, submitted=time.time() - age), "lost-1")
        follow.forget(tickets, back_end, "lost-1")
        assert len(tickets.names(lost=True)) == left
    assert asked == ["forget", "forget"]


# --- tickets and the connection ------------------------------------------------------------------


def test_tickets(home: Path, ticket: Ticket) -> None:
    tickets = Tickets("island")
    assert tickets.names() == []
    tickets.prepare()
    tickets.save(ticket)
    assert tickets.load("77") == ticket
    assert (home / ".local/state/ces/remote/island/77.json").stat().st_mode & 0o777 == 0o600
    over = tickets.seen_over(ticket)
    assert tickets.seen_over(over).over == over.over > 0
    with tickets.mine("77") as mine, tickets.mine("77") as other:
        assert (mine, other) == (True, False)
    tickets.close("77")
    assert os.listdir(tickets.directory) == []
    (home / ".local/state/ces/remote/island/78.json").write_text('["no ticket"]')
    (home / ".local/state/ces/remote/island/79.lock").touch()
    assert tickets.load("78") is None
    tickets.remove_locks()
    assert os.listdir(tickets.directory) == ["78.json"]
    assert tickets.due(60)
    assert not tickets.due(60)


def test_a_directory_for_sockets_must_be_ones_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = home / "run"
    mine.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(mine))
    assert runtime.Runtime("island").directory == f"{mine}/ces-remote/island"
    (mine / "ces-remote").chmod(0o710)
    assert runtime.Runtime("island").directory == "", "somebody else could be in it"
    os.rename(mine / "ces-remote", mine / "elsewhere")
    (mine / "ces-remote").symlink_to(mine / "elsewhere")
    assert runtime.Runtime("island").socket == "", "a link is nobody's own"


def test_what_is_down_is_so_for_a_moment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{home}/run")
    one = runtime.Runtime("island")
    one.set_down("it does not answer")
    assert one.down() == "it does not answer"
    os.utime(f"{one.directory}/down", (time.time() - 20, time.time() - 20))
    assert one.down() == ""
    one.set_down("again")
    one.set_down("")
    assert one.down() == ""


def test_places_are_kept_for_polls(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{home}/run")
    one = runtime.Runtime("island")
    held = [one.place(0, copying=True) for _turn in range(runtime.PLACES // 2 + 1)]
    assert [place.__enter__() for place in held] == [True] * (runtime.PLACES // 2) + [False]
    with one.place(0) as place:
        assert place
    for opened in held:
        opened.__exit__(None, None, None)
