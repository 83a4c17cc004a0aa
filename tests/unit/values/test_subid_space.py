# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ids a user gets: by uid, never somebody else's, and never none while there are some."""

from __future__ import annotations

from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.values.subid_space import Slots, Space
from ansible_collections.tre.ces.plugins.module_utils.ces.values.subids import IdRange

DEFAULT = Slots(100000, 600100000, 65536, 1000)

# small enough that full spaces, wraps and gaps between slots are ordinary
RANGES = st.lists(st.builds(IdRange, st.integers(0, 130), st.integers(0, 9)), max_size=20)
USERS = st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.integers(0, 60), max_size=16)
SLOTS = st.builds(Slots, st.integers(0, 40), st.integers(41, 120), st.integers(1, 9), st.just(10))


def free(slots: Slots, taken: list[IdRange]) -> set[int]:
    ids = set(range(slots.low, slots.high + 1))
    for one in taken:
        ids -= set(range(one.start, one.last + 1))
    return ids


def allocate(slots: Slots, users: dict[str, int], taken: list[IdRange]) -> dict[str, IdRange]:
    return slots.allocate(users, Space(slots.low, slots.high, taken))


def test_the_formula_of_shadow_utils() -> None:
    """The examples of login.defs(5), SUB_UID_DETERMINISTIC."""
    given_ids = allocate(DEFAULT, {"a": 1000, "b": 1001}, [])
    assert given_ids == {"a": IdRange(100000, 65536), "b": IdRange(165536, 65536)}


def test_default_limits_are_enough_for_9155_users() -> None:
    users = {f"user{number}": 1000 + number for number in range(9156)}
    assert DEFAULT.number == 9155
    assert len(allocate(DEFAULT, users, [])) == 9155


def test_uid_of_a_directory_goes_round() -> None:
    ids = allocate(DEFAULT, {"a": 736800500}, [])["a"]
    assert ids.start == 100000 + (736800500 - 1000) % 9155 * 65536


def test_uid_below_uid_min_goes_round() -> None:
    assert allocate(DEFAULT, {"daemon": 999}, [])["daemon"] == IdRange(100000 + 9154 * 65536, 65536)


def test_who_finds_the_own_slot_taken_leaves_the_others_theirs() -> None:
    users = {"a": 1000, "b": 1001, "c": 1002}
    given_ids = allocate(DEFAULT, users, [IdRange(100005, 1)])
    assert [given_ids[name].start for name in "bca"] == [165536, 231072, 296608]


def test_gaps_between_slots_are_used_at_last() -> None:
    slots = Slots(0, 29, 10, 0)
    # slots are 0-9, 10-19, 20-29; what is free is 5-14
    assert allocate(slots, {"a": 0}, [IdRange(0, 5), IdRange(15, 15)]) == {"a": IdRange(5, 10)}


def test_no_room_at_all() -> None:
    assert allocate(Slots(100, 108, 10, 0), {"a": 0}, []) == {}


@given(SLOTS, USERS, RANGES)
@example(Slots(0, 29, 10, 0), {"a": 5}, [])
def test_ranges_are_free_whole_and_apart(
    slots: Slots, users: dict[str, int], taken: list[IdRange]
) -> None:
    left = free(slots, taken)
    for ids in allocate(slots, users, taken).values():
        mine = set(range(ids.start, ids.last + 1))
        assert len(mine) == slots.count
        assert mine <= left
        left -= mine


@given(SLOTS, USERS, RANGES)
def test_nobody_is_left_out_while_a_gap_is_large_enough(
    slots: Slots, users: dict[str, int], taken: list[IdRange]
) -> None:
    given_ids = allocate(slots, users, taken)
    left = free(slots, [*taken, *given_ids.values()])
    gap = any(left.issuperset(range(n, n + slots.count)) for n in left)
    assert len(given_ids) == len(users) or not gap or slots.number == 0


@given(SLOTS, USERS, RANGES)
def test_whose_slot_is_free_gets_it(
    slots: Slots, users: dict[str, int], taken: list[IdRange]
) -> None:
    if slots.number == 0:
        return
    given_ids = allocate(slots, users, taken)
    left = free(slots, taken)
    for name, uid in users.items():
        home = slots.home(uid)
        if left.issuperset(range(home.start, home.last + 1)):
            assert home in given_ids.values()
            if sum(slots.home(other) == home for other in users.values()) == 1:
                assert given_ids[name] == home


@given(SLOTS, USERS, RANGES, st.randoms())
def test_order_does_not_matter(
    slots: Slots, users: dict[str, int], taken: list[IdRange], chance: Random
) -> None:
    shuffled = chance.sample(sorted(users.items()), len(users))
    mixed = chance.sample(taken, len(taken))
    assert allocate(slots, dict(shuffled), mixed) == allocate(slots, users, taken)


@given(RANGES, st.lists(st.builds(IdRange, st.integers(0, 130), st.integers(1, 9))))
def test_space_gives_away_exactly_what_is_free(taken: list[IdRange], wanted: list[IdRange]) -> None:
    space = Space(20, 110, taken)
    left = free(Slots(20, 110, 1, 0), taken)
    for ids in wanted:
        mine = set(range(ids.start, ids.last + 1))
        assert space.take(ids) == (mine <= left)
        if mine <= left:
            left -= mine
