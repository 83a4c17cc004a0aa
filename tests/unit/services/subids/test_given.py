# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving subordinate ids on a host whose files are as people leave them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from subid_host import SECOND, Names, four_times, host_with, tables, wanting

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    InvalidValue,
    NotFound,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import subids
from ansible_collections.tre.ces.plugins.module_utils.ces.services.subid_people import Selection
from ansible_collections.tre.ces.plugins.module_utils.ces.services.subids import (
    Outcome,
    Request,
    apply,
    plan,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.subids import KINDS
from ansible_collections.tre.ces.plugins.module_utils.ces.values.subids import (
    IdRange,
    SubidTable,
    overlapping,
)

FIRST = IdRange(100000, 65536)
THIRD = IdRange(231072, 65536)


def test_new_host(tmp_path: Path) -> None:
    outcome = four_times(wanting("bob", "alice"), host_with(tmp_path))
    text = "alice:100000:65536\nbob:165536:65536\n"
    assert tables(host_with(tmp_path)) == (text, text)
    assert outcome.changed_users == ("bob", "alice")
    assert outcome.ranges["bob"] == {"uid": SECOND, "gid": SECOND}
    assert outcome.warnings == ()


def test_valid_ranges_stay_whoever_wrote_them(tmp_path: Path) -> None:
    host = host_with(tmp_path, "1000:500000:70000\n", "alice:700000:65536\n")
    outcome = four_times(wanting("alice"), host)
    assert outcome.changes == ()
    assert outcome.ranges["alice"] == {
        "uid": IdRange(500000, 70000),
        "gid": IdRange(700000, 65536),
    }


def test_the_same_range_in_the_other_file(tmp_path: Path) -> None:
    host = host_with(tmp_path, "alice:500000:70000\n", "bob:800000:65536\n")
    outcome = four_times(wanting("alice", "bob"), host)
    assert tables(host) == (
        "alice:500000:70000\nbob:800000:65536\n",
        "bob:800000:65536\nalice:500000:70000\n",
    )
    assert outcome.changed_users == ("alice", "bob")


@pytest.mark.parametrize(
    "subgid",
    [
        "dave:510000:1\n",
        "1234:510000:1\n",
        "#dave:510000:1\n",
        "alice:500000:1\n",
        "dave:510000:1:\n",
    ],
)
def test_not_the_same_range_when_somebody_has_it(tmp_path: Path, subgid: str) -> None:
    host = host_with(tmp_path, "alice:500000:65536\n", subgid)
    outcome = four_times(wanting("alice"), host)
    assert outcome.ranges["alice"] == {"uid": IdRange(500000, 65536), "gid": FIRST}


@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize(
    "entry", ["dave:165535:1", "1234:100000:1", "#dave:99999:2", "dave:0x186A0:1", "dave:1:100001:"]
)
def test_what_somebody_has_in_either_file_is_not_given(
    tmp_path: Path, entry: str, where: int
) -> None:
    subuid, subgid = ("", f"{entry}\n") if where else (f"{entry}\n", "")
    outcome = four_times(wanting("alice"), host_with(tmp_path, subuid, subgid))
    assert outcome.ranges["alice"] == {"uid": SECOND, "gid": SECOND}


def test_real_ids_are_not_given(tmp_path: Path) -> None:
    names = Names(
        {"alice": 1000, "real": 100001},
        groups=[("some", 165540, [])],
        primary={"real": 231075},
    )
    outcome = four_times(wanting("alice"), host_with(tmp_path, names=names))
    assert outcome.ranges["alice"]["uid"] == IdRange(296608, 65536)


def test_ids_of_accounts_that_are_not_listed_are_not_given(tmp_path: Path) -> None:
    names = Names({"alice": 1000}, hidden={"ad": 100007})
    outcome = four_times(wanting("alice", "ad"), host_with(tmp_path, names=names))
    assert outcome.ranges["alice"]["uid"] == SECOND


@pytest.mark.parametrize("owner", ["alice", "1000"])
def test_a_range_that_is_too_small_is_kept_and_another_added(tmp_path: Path, owner: str) -> None:
    text = f"{owner}:500000:1\n"
    names = Names({"alice": 1000}, groups=[("alice", 1000, [])])
    host = host_with(tmp_path, text, text, names)
    outcome = four_times(wanting("alice"), host)
    assert tables(host)[0] == f"{text}alice:100000:65536\n"
    assert len(outcome.warnings) == 2
    assert "fewer than 65536" in outcome.warnings[0]
    assert "500000-500000" in outcome.warnings[0]


def test_a_range_that_not_every_tool_accepts_is_no_range(tmp_path: Path) -> None:
    host = host_with(tmp_path, "alice:500000:65536:x\n", "")
    assert four_times(wanting("alice"), host).ranges["alice"]["uid"] == FIRST


def test_what_people_wrote_stays(tmp_path: Path) -> None:
    text = "# by hand\n\n  # more\nnonsense\n\udcff:1\nalice:100000:65536\n# end"
    host = host_with(tmp_path, text, text)
    outcome = four_times(wanting("bob"), host)
    assert tables(host)[0] == f"{text}\nbob:165536:65536\n"
    assert outcome.changed_users == ("bob",)
    assert [
        warning for warning in outcome.warnings if "line 4" in warning and "nonsense" in warning
    ]


def test_a_missing_end_of_the_last_line_is_mended(tmp_path: Path) -> None:
    host = host_with(tmp_path, "alice:100000:65536", "alice:100000:65536\n")
    outcome = four_times(wanting("alice"), host)
    assert [change.kind for change in outcome.changes] == ["uid"]
    assert outcome.changed_users == ()
    assert tables(host)[0] == "alice:100000:65536\n"


def test_overlaps_of_others_are_reported_and_kept(tmp_path: Path) -> None:
    text = "alice:100000:65536\nbob:100001:65536\n"
    host = host_with(tmp_path, text, text)
    outcome = four_times(wanting("alice", "carol"), host)
    assert outcome.changed_users == ("carol",)
    assert outcome.ranges["carol"]["uid"] == THIRD
    assert len(outcome.warnings) == 2
    assert "alice 100000-165535 (line 1), bob 100001-165536 (line 2)" in outcome.warnings[0]


@pytest.mark.parametrize("other", ["bob:100001:65536", "#bob:165535:2"])
def test_a_range_that_is_not_the_users_alone_is_not_copied(tmp_path: Path, other: str) -> None:
    host = host_with(tmp_path, f"alice:100000:65536\n{other}\n", "")
    outcome = four_times(wanting("alice"), host)
    assert outcome.ranges["alice"] == {"uid": FIRST, "gid": THIRD}


def test_an_overlapping_range_is_not_copied_into_the_other_file(tmp_path: Path) -> None:
    host = host_with(tmp_path, "alice:100000:65536\nbob:100001:65536\n", "")
    outcome = four_times(wanting("alice", "bob"), host)
    assert not overlapping(SubidTable.parse(tables(host)[1]).entries)
    assert not any(new["gid"].overlaps(IdRange(100000, 65537)) for new in outcome.ranges.values())


def test_ranges_over_real_ids_are_reported(tmp_path: Path) -> None:
    host = host_with(tmp_path, "dave:1000:65536\n", "")
    warning = four_times(wanting("alice"), host).warnings[0]
    assert "dave" in warning
    assert "1000 (alice), 1001 (bob), 1002 (carol)" in warning


def test_many_warnings_are_counted(tmp_path: Path) -> None:
    host = host_with(tmp_path, "nonsense\n" * 100, "")
    warnings = four_times(wanting("alice"), host).warnings
    assert len(warnings) == 21
    assert "80 more" in warnings[-1]


def test_start_and_count(tmp_path: Path) -> None:
    outcome = four_times(wanting("bob", start=1000000, count=1000), host_with(tmp_path))
    assert outcome.ranges["bob"]["uid"] == IdRange(1001000, 1000)


def test_limits_of_login_defs(tmp_path: Path) -> None:
    Path(tmp_path, "login.defs").write_text(
        "UID_MIN 500\nSUB_UID_MIN 200000\nSUB_GID_MIN 300000\nSUB_UID_MAX 70000000\n"
    )
    outcome = four_times(wanting("alice"), host_with(tmp_path))
    assert outcome.ranges["alice"]["uid"] == IdRange(300000 + 500 * 65536, 65536)


def test_no_room_says_who_and_what_to_do(tmp_path: Path) -> None:
    Path(tmp_path, "login.defs").write_text("SUB_UID_MAX 300000\n")
    host = host_with(tmp_path)
    with pytest.raises(CesError, match=r"room for 3 more.*Left over: dan.*raise SUB_UID_MAX"):
        apply(
            wanting("alice", "bob", "carol", "dan"),
            host_with(tmp_path, names=Names({"alice": 1, "bob": 2, "carol": 3, "dan": 4})),
        )
    assert tables(host) == ("", "")


def test_missing_users_are_named(tmp_path: Path) -> None:
    host = host_with(tmp_path)
    for attempt in (plan, apply):
        with pytest.raises(NotFound, match=r"to eve, mallory: there is no such account.*create"):
            attempt(wanting("alice", "eve", "mallory"), host)
    assert tables(host) == ("", "")


def test_nobody_reads_the_files(tmp_path: Path) -> None:
    Path(tmp_path, "nsswitch.conf").write_text("subid: sss\n")
    host = host_with(tmp_path)
    for state in (True, False):
        with pytest.raises(CesError, match=r"subid: sss.*subid: files"):
            apply(wanting("alice", present=state), host)
    assert sorted(os.listdir(tmp_path)) == ["nsswitch.conf"]


def test_nobody_asked_for(tmp_path: Path) -> None:
    assert four_times(wanting(), host_with(tmp_path, "x", "")) == Outcome()


@pytest.mark.parametrize(
    "value", [{"count": 0}, {"count": 2**32}, {"start": 1000}, {"start": 2**32}]
)
def test_impossible_numbers(value: dict[str, int]) -> None:
    with pytest.raises(InvalidValue):
        wanting("alice", **value)


def test_members_of_a_group_by_uid(tmp_path: Path) -> None:
    names = Names(
        {"alice": 1000, "bob": 1001, "carol": 1002, "dan": 1003},
        groups=[("staff", 50, ["dan", "gone", "bob", "ad"])],
        primary={"alice": 50, "bob": 50},
        hidden={"ad": 70000},
    )
    host = host_with(tmp_path, names=names)
    outcome = four_times(Request(Selection(group="staff")), host)
    assert outcome.changed_users == ("alice", "bob", "dan", "ad")
    assert "staff lists 'gone'" in outcome.warnings[0]
    with pytest.raises(NotFound, match="group none"):
        plan(Request(Selection(group="none")), host)


@pytest.mark.parametrize(
    ("low", "high", "who"),
    [
        (1001, None, ("bob", "carol")),
        (None, 1001, ("alice", "bob")),
        (1001, 1001, ("bob",)),
        (0, 1000, ("root", "alice")),
        (5000, None, ()),
    ],
)
def test_range_of_uids(
    tmp_path: Path, low: int | None, high: int | None, who: tuple[str, ...]
) -> None:
    request = Request(Selection(uid_min=low, uid_max=high))
    assert four_times(request, host_with(tmp_path)).changed_users == who


def test_range_of_uids_the_wrong_way_round(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="above uid_max"):
        plan(Request(Selection(uid_min=2000, uid_max=1000)), host_with(tmp_path))


@pytest.mark.parametrize(
    ("in_use", "stale"),
    [
        (IdRange(100000, 65536), ()),
        (IdRange(900000, 65536), ("alice",)),
    ],
)
def test_podman_that_works_with_other_ranges_is_told_whoever_changed_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_use: IdRange, stale: tuple[str, ...]
) -> None:
    """The run that changed them may have been interrupted."""
    text = "alice:100000:65536\nbob:165536:65536\n"
    host = host_with(tmp_path, text, text)
    used = {f"{tmp_path}/run-user/1000": (in_use,)}
    monkeypatch.setattr(subids, "ids_in_use", lambda place: dict.fromkeys(KINDS, used.get(place)))
    for outcome in (plan(wanting("alice", "bob"), host), apply(wanting("alice", "bob"), host)):
        assert (outcome.changes, outcome.changed_users) == ((), ())
        assert outcome.stale_users == stale


def test_podman_is_asked_what_it_works_with(tmp_path: Path) -> None:
    """This process stands for the one that keeps podman's namespace: it has no ranges at all."""
    text = "alice:100000:65536\n"
    host = host_with(tmp_path, text, text)
    assert plan(wanting("alice"), host).stale_users == ()
    pause = tmp_path / "run-user/1000/libpod/tmp/pause.pid"
    pause.parent.mkdir(parents=True)
    pause.write_text(f"{os.getpid()}")
    assert plan(wanting("alice"), host).stale_users == ("alice",)
    pause.write_text("no number")
    assert plan(wanting("alice"), host).stale_users == ()
