# SPDX-License-Identifier: GPL-3.0-or-later
"""Subordinate ids: taken away, many at once, hand-written tables, and logins that are numbers."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from subid_host import SECOND, Names, four_times, host_with, tables, wanting

from ansible_collections.tre.ces.plugins.module_utils.ces.services.subid_people import Selection
from ansible_collections.tre.ces.plugins.module_utils.ces.services.subids import (
    Request,
    apply,
    plan,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.subids import (
    SubidTable,
    overlapping,
)


def test_taking_away(tmp_path: Path) -> None:
    text = "# keep\nalice:1:1\nbob:100000:65536\n1000:2:2\n#alice:3:3\nold:9:9:\nalice:4:4:4\n"
    host = host_with(tmp_path, text, "bob:100000:65536\n")
    outcome = four_times(wanting("carol", "alice", "old", present=False), host)
    assert tables(host) == ("# keep\nbob:100000:65536\n#alice:3:3\n", "bob:100000:65536\n")
    assert outcome.changed_users == ("alice", "old")
    assert outcome.ranges == {}


def _give_one(etc: str, names: Names, name: str) -> None:
    apply(wanting(name), host_with(etc, names=names))


def test_many_at_once(tmp_path: Path) -> None:
    """Everybody wants the same slot, because all have the same uid."""
    names = Names({f"user{number}": 1000 for number in range(12)})
    fork = multiprocessing.get_context("fork")
    tasks = [
        fork.Process(target=_give_one, args=(str(tmp_path), names, name)) for name in names._users
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert [task.exitcode for task in tasks] == [0] * 12
    for text in tables(host_with(tmp_path)):
        entries = SubidTable.parse(text).entries
        assert sorted(entry.owner for entry in entries) == sorted(names._users)
        assert overlapping(entries) == []
    assert sorted(os.listdir(tmp_path)) == [".pwd.lock", "noted", "subgid", "subuid"]


def test_ten_thousand_users_in_seconds(tmp_path: Path) -> None:
    Path(tmp_path, "login.defs").write_text("SUB_UID_MAX 4000000000\nSUB_GID_MAX 4000000000\n")
    names = Names({f"user{number}": 1000 + number * 3 for number in range(10000)})
    host = host_with(tmp_path, names=names)
    start = time.process_time()
    outcome = apply(Request(Selection(uid_min=1000)), host)
    assert time.process_time() - start < 10
    assert len(outcome.changed_users) == 10000
    assert overlapping(SubidTable.parse(tables(host)[0]).entries) == []


OWNERS = st.sampled_from(["alice", "bob", "carol", "1000", "1001", "dave", "4711", "#alice"])
HAND_WRITTEN = st.lists(
    st.one_of(
        st.builds(
            "{}:{}:{}".format, OWNERS, st.integers(95, 190), st.sampled_from([0, 1, 5, 9, 10, 15])
        ),
        st.sampled_from(["", "# comment", "nonsense", "dave:105:7:x", "dave:0x6E:010"]),
    ),
    max_size=8,
)
ENDS = st.sampled_from(["", "\n"])


@given(
    HAND_WRITTEN,
    HAND_WRITTEN,
    ENDS,
    st.lists(st.sampled_from(["alice", "bob", "carol"]), min_size=1, unique=True),
    st.sets(st.integers(95, 190), max_size=5),
)
def test_hand_written_files_are_never_made_worse(
    uids: list[str], gids: list[str], end: str, wanted: list[str], real: set[int]
) -> None:
    users = {"alice": 1000, "bob": 1001, "carol": 1002}
    accounts = {f"real{number}": number for number in real}
    groups: list[tuple[str, int, list[str]]] = [(name, uid, []) for name, uid in users.items()]
    names = Names({**users, **accounts}, groups=groups, primary=users)
    with TemporaryDirectory() as etc:
        limits = "SUB_UID_MIN 100\nSUB_UID_MAX 400\nSUB_GID_MIN 100\nSUB_GID_MAX 400\n"
        Path(etc, "login.defs").write_text(limits)
        host = host_with(etc, "\n".join(uids) + end, "\n".join(gids) + end, names)
        before = {kind: SubidTable.parse(host.read(kind)) for kind in ("uid", "gid")}
        outcome = four_times(wanting(*wanted, count=10), host)
        after = {kind: SubidTable.parse(host.read(kind)) for kind in ("uid", "gid")}
    keys = {name: (name, str(users[name])) for name in wanted}
    changed = set()
    for kind, table in after.items():
        old = before[kind]
        assert _lines_without(table, keys) == _lines_without(old, keys)
        for name in wanted:
            mine = [e for e in table.entries if e.owner in keys[name]]
            assert overlapping([entry for entry in mine if entry.usable]) == []
            had, have = (_ids_of(one, keys[name]) for one in (old, table))
            ids = outcome.ranges[name][kind]
            assert ids in [entry.ids for entry in mine if entry.usable]
            assert ids.count >= 10
            fresh = set(range(ids.start, ids.last + 1)) - had
            assert have == had | fresh
            if fresh:
                assert len(fresh) == ids.count
                assert 100 <= ids.start <= ids.last <= 400
                assert not fresh & real
                for one in (entry for other in after.values() for entry in other.entries):
                    assert one.owner in keys[name] or not one.ids.overlaps(ids) or not one.ids.count
            if [e.ids for e in old.entries if e.owner in keys[name]] != [e.ids for e in mine]:
                changed.add(name)
    assert changed == set(outcome.changed_users)


def _lines_without(table: SubidTable, keys: dict[str, tuple[str, str]]) -> list[str]:
    theirs = {key for pair in keys.values() for key in pair}
    return [line for line in table.lines if line.split(":")[0] not in theirs]


def _ids_of(table: SubidTable, keys: tuple[str, str]) -> set[int]:
    mine = [entry.ids for entry in table.entries if entry.owner in keys and entry.usable]
    return {number for ids in mine for number in range(ids.start, ids.last + 1)}


@given(HAND_WRITTEN, HAND_WRITTEN, st.sets(st.sampled_from(["alice", "bob", "carol"]), min_size=1))
def test_taking_away_takes_nothing_else(uids: list[str], gids: list[str], who: set[str]) -> None:
    users = {"alice": 1000, "bob": 1001, "carol": 1002}
    keys = {key for name in who for key in (name, str(users[name]))}
    with TemporaryDirectory() as etc:
        subuid, subgid = ("".join(f"{line}\n" for line in lines) for lines in (uids, gids))
        host = host_with(etc, subuid, subgid)
        four_times(wanting(*who, present=False), host)
        for written, text in zip((uids, gids), tables(host)):
            kept = [line for line in written if line.split(":")[0] not in keys]
            assert text == "".join(f"{line}\n" for line in kept)


NUMBERS = {"bob": 1001, "1001": 5001, "carol": 1002}
"""Somebody's login is bob's uid."""


def numbers(group: int | None = 5001, hidden: bool = False) -> Names:
    groups: list[tuple[str, int, list[str]]] = [] if group is None else [("1001", group, [])]
    unlisted = {"1001": NUMBERS["1001"]} if hidden else {}
    listed = {name: uid for name, uid in NUMBERS.items() if name not in unlisted}
    return Names(listed, groups, hidden=unlisted)


@pytest.mark.parametrize("hidden", [False, True])
def test_the_range_of_a_login_that_is_somebodys_uid_is_not_taken_away(
    tmp_path: Path, hidden: bool
) -> None:
    text = "1001:100000:65536\nbob:165536:65536\n"
    host = host_with(tmp_path, text, text, numbers(hidden=hidden))
    outcome = four_times(wanting("bob", present=False), host)
    assert tables(host) == ("1001:100000:65536\n",) * 2
    assert outcome.changed_users == ("bob",)
    assert "is the uid of bob, who can map these ids too" in outcome.warnings[0]
    assert "Run this for 1001: the line gets the uid 5001 instead" in outcome.warnings[0]


@pytest.mark.parametrize("hidden", [False, True])
def test_the_range_of_a_login_that_is_somebodys_uid_is_not_taken_for_theirs(
    tmp_path: Path, hidden: bool
) -> None:
    text = "1001:100000:65536\n"
    host = host_with(tmp_path, text, text, numbers(hidden=hidden))
    outcome = four_times(wanting("bob"), host)
    assert tables(host) == ("1001:100000:65536\nbob:165536:65536\n",) * 2
    assert outcome.ranges["bob"]["uid"] == SECOND
    assert "bob, who can map these ids too" in outcome.warnings[0]


@pytest.mark.parametrize("before", ["", "1001:400000:65536\n"])
def test_a_login_that_is_somebodys_uid_has_its_range_by_its_own_uid(
    tmp_path: Path, before: str
) -> None:
    host = host_with(tmp_path, before, before, numbers())
    outcome = four_times(wanting("1001", "bob"), host)
    for text in tables(host):
        assert sorted(line.split(":")[0] for line in text.split()) == ["5001", "bob"]
    assert outcome.changed_users == ("1001", "bob")
    assert [said for said in outcome.warnings if "can map these ids" in said] == []
    four_times(wanting("1001", present=False), host)
    assert [text.split(":")[0] for text in tables(host)] == ["bob", "bob"]


@pytest.mark.parametrize("group", [None, 77])
def test_a_number_in_subgid_is_a_groups_to_podman(tmp_path: Path, group: int | None) -> None:
    """So a login that is somebody's uid has no key there that all programs read alike."""
    host = host_with(tmp_path, "", "", numbers(group))
    outcome = four_times(wanting("1001"), host)
    assert [text.split(":")[0] for text in tables(host)] == ["5001", "1001"]
    assert len(outcome.warnings) == 1
    assert "Only another login cures that" in outcome.warnings[0]


def test_a_uid_in_subgid_becomes_the_name_where_podman_takes_it_for_a_groups(
    tmp_path: Path,
) -> None:
    text = "1000:100000:65536\n"
    host = host_with(tmp_path, text, text)
    outcome = four_times(wanting("alice"), host)
    assert tables(host) == (text, "alice:100000:65536\n")
    assert outcome.changed_users == ("alice",)
    assert "the key 1000 of line 1 means another account" in outcome.warnings[0]


@pytest.mark.parametrize(
    ("lines", "joined"),
    [
        ("alice:100000:65536 1000:100000:65536", "alice:100000:65536"),
        ("1000:100000:65536 bob:300000:65536 alice:100000:65536", "alice:100000:65536"),
        ("alice:100000:65536 alice:150000:65536", "alice:100000:115536"),
        ("1000:100000:9 alice:100003:2 alice:100008:65536", "alice:100000:65544"),
    ],
)
def test_lines_of_one_user_that_overlap_become_one(tmp_path: Path, lines: str, joined: str) -> None:
    text = "".join(f"{line}\n" for line in lines.split())
    host = host_with(tmp_path, text, text)
    outcome = four_times(wanting("alice"), host)
    others = [line for line in lines.split() if line.startswith("bob")]
    assert [sorted(text.split()) for text in tables(host)] == [sorted([joined, *others])] * 2
    assert outcome.changed_users == ("alice",)
    assert "gave alice some ids twice, with which podman does not start" in outcome.warnings[0]


def test_lines_of_one_user_that_overlap_are_reported_when_nobody_asked(tmp_path: Path) -> None:
    host = host_with(tmp_path, "alice:300000:65536\n1000:300000:65536\n", "")
    outcome = four_times(wanting("bob"), host)
    assert "podman does not start for this user" in outcome.warnings[0]
    assert "reach into" not in outcome.warnings[0]


def test_a_range_with_the_users_own_id_is_said_to_stop_podman(tmp_path: Path) -> None:
    names = Names({"alice": 1000}, primary={"alice": 3000})
    host = host_with(tmp_path, "alice:1000:65536\n", "alice:3000:65536\n", names)
    for warning in four_times(wanting("alice"), host).warnings:
        assert "So podman does not start for alice. It was kept" in warning
    host = host_with(tmp_path, "alice:999:65536\n", "", Names({"alice": 1000, "bob": 1001}))
    warning = four_times(wanting("alice"), host).warnings[0]
    assert "podman does not start for alice, and containers of alice can act as them" in warning


def test_a_login_that_is_its_own_uid_cannot_have_a_good_line(tmp_path: Path) -> None:
    host = host_with(tmp_path, names=Names({"3003": 3003}))
    outcome = four_times(wanting("3003"), host)
    assert len(outcome.warnings) == 2
    assert "podman takes the line twice and does not start" in outcome.warnings[0]
    assert "Only another login cures that" in outcome.warnings[0]


def test_a_name_that_is_no_account_but_somebodys_uid_takes_nothing_away(tmp_path: Path) -> None:
    text = "1001:100000:65536\n1009:200000:65536\n"
    host = host_with(tmp_path, text, text)
    outcome = four_times(wanting("1001", "1009", present=False), host)
    assert tables(host) == ("1001:100000:65536\n",) * 2
    assert outcome.changed_users == ("1009",)


def test_only_who_may_be_mistaken_costs_a_look_up(tmp_path: Path) -> None:
    names = Names({f"user{number}": 1000 + number for number in range(50)})
    host = host_with(tmp_path, "1001:100000:65536\n", "", names)
    names.asked.clear()
    plan(Request(Selection(uid_min=1000)), host)
    assert names.asked == ["1001"]
