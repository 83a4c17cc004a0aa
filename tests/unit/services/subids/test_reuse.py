# SPDX-License-Identifier: GPL-3.0-or-later
"""Subordinate ids that userdel freed and useradd gave to the next user."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from subid_host import SECOND, Names, four_times, host_with, tables, wanting

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services.subids import (
    Outcome,
    apply,
    plan,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.subid_history import History
from ansible_collections.tre.ces.plugins.module_utils.ces.values.subids import IdRange

BEFORE = Names({"alice": 1000, "carol": 1001})
AFTER = Names({"alice": 1000, "eve": 1001})
CAROLS = "alice:100000:65536\ncarol:165536:65536\n"
EVES = "alice:100000:65536\neve:165536:65536\n"
FREED = "alice:100000:65536\n"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """Carol has had a range there."""
    apply(wanting("alice", "carol"), host_with(tmp_path, "", "", BEFORE))
    assert tables(host_with(tmp_path)) == (CAROLS, CAROLS)
    return tmp_path


@pytest.mark.parametrize("do", [plan, apply])
def test_ids_that_were_anothers_are_refused_with_both_names(
    etc: Path, do: Callable[..., Outcome]
) -> None:
    host = host_with(etc, EVES, EVES, AFTER)
    with pytest.raises(CesError, match="eve has the ids 165536-231071, which were carol's") as told:
        do(wanting("alice", "eve"), host)
    assert "ces_reused_uids" in told.value.hint
    assert tables(host) == (EVES, EVES)


def test_a_part_of_them_is_enough(etc: Path) -> None:
    host = host_with(etc, "eve:231071:65536\n", "eve:231071:65536\n", AFTER)
    with pytest.raises(CesError, match="which were carol's"):
        plan(wanting("eve"), host)


def test_new_ones_are_given_and_nobody_gets_the_old_ones(etc: Path) -> None:
    host = host_with(etc, EVES, EVES, AFTER)
    outcome = four_times(wanting("alice", "eve", reused="replace"), host)
    text = "alice:100000:65536\n#carol:165536:65536\neve:231072:65536\n"
    assert tables(host) == (text, text)
    assert outcome.changed_users == ("eve",)
    assert "eve has the ids 165536-231071, which were carol's: new ones" in outcome.warnings[0]
    # and that settles it
    assert apply(wanting("alice", "eve"), host).changes == ()


def test_they_may_be_given(etc: Path) -> None:
    host = host_with(etc, EVES, EVES, AFTER)
    assert four_times(wanting("alice", "eve", reused="give"), host).changes == ()
    assert apply(wanting("alice", "eve"), host).changes == ()


def test_what_userdel_freed_is_not_given_by_us(etc: Path) -> None:
    """Eve has carol's uid, and so carol's place."""
    host = host_with(etc, FREED, FREED, AFTER)
    outcome = four_times(wanting("alice", "eve"), host)
    assert outcome.ranges["eve"]["uid"] == IdRange(231072, 65536)


def test_who_comes_back_gets_them_again_and_not_those_of_the_rule(tmp_path: Path) -> None:
    odd = "alice:100000:65536\ncarol:900000:70000\n"
    apply(wanting("alice", "carol"), host_with(tmp_path, odd, odd, BEFORE))
    host = host_with(tmp_path, FREED, FREED, BEFORE)
    found = four_times(wanting("alice", "carol"), host).ranges["carol"]
    assert found == {"uid": IdRange(900000, 70000), "gid": IdRange(900000, 70000)}
    # too few are not enough
    host = host_with(tmp_path, FREED, FREED, BEFORE)
    found = plan(wanting("alice", "carol", count=80000), host).ranges["carol"]
    assert found["uid"].count == 80000


def test_two_who_have_each_others_get_their_own_back(etc: Path) -> None:
    """A host that was installed anew, with the disk of before: useradd goes by its own order."""
    text = "carol:100000:65536\nalice:165536:65536\n"
    host = host_with(etc, text, text, BEFORE)
    with pytest.raises(CesError, match="alice has the ids 165536-231071, which were carol's"):
        plan(wanting("alice", "carol"), host)
    four_times(wanting("alice", "carol", reused="replace"), host)
    assert [sorted(text.splitlines()) for text in tables(host)] == [CAROLS.splitlines()] * 2


def test_whose_ids_were_taken_away_on_purpose_is_forgotten(etc: Path) -> None:
    apply(wanting("carol", present=False), host_with(etc, names=BEFORE))
    host = host_with(etc, names=AFTER)
    assert apply(wanting("alice", "eve"), host).ranges["eve"]["uid"] == SECOND


def test_two_that_both_have_them_are_told_as_before(etc: Path) -> None:
    both = f"{CAROLS}eve:165536:65536\n"
    host = host_with(etc, both, both, Names({"alice": 1000, "carol": 1001, "eve": 1002}))
    assert any("carol" in said and "eve" in said for said in plan(wanting("eve"), host).warnings)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"uid": [1]}', '{"uid": {"x": 1, "1": "a"}}', "[" * 9999]
)
def test_a_damaged_note_is_none(etc: Path, text: str) -> None:
    (etc / "noted/subordinate-ids.json").write_text(text)
    host = host_with(etc, EVES, EVES, AFTER)
    assert apply(wanting("alice", "eve"), host).changes == ()
    assert '"eve"' in (etc / "noted/subordinate-ids.json").read_text()


def test_notes_of_a_large_site_are_read_whole(etc: Path) -> None:
    """Ones that were cut would be none, and the next run would write them down so."""
    file = etc / "noted/subordinate-ids.json"
    ranges = {f"{'u' * 30}{n}": [IdRange(1_000_000 + n * 65536, 65536)] for n in range(20_000)}
    ranges["carol"] = [IdRange(165_536, 65_536)]
    history = History().noting("uid", ranges).noting("gid", ranges)
    file.write_text(str(history))
    assert file.stat().st_size > 2 << 20
    assert host_with(etc).history().noted == history.noted


def test_ten_thousand_take_a_moment() -> None:
    ranges = {f"u{number}": [IdRange(number * 65536, 65536)] for number in range(2, 10_000)}
    begin = time.process_time()
    history = History().noting("uid", ranges)
    history = History.parse(str(history))
    assert history.noting("uid", ranges) is history
    moved = {f"v{number}": [IdRange(number * 65536 + 1, 65536)] for number in range(2, 10_000)}
    assert set(history.noting("uid", moved).noted["uid"].values()) == set(moved)
    assert time.process_time() - begin < 3
