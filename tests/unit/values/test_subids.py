# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of subordinate ids, as people and shadow-utils write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.values.subids import (
    ID_MAX,
    Entry,
    IdRange,
    SubidTable,
    containing,
    overlapping,
    parse_number,
)

# what people write, and what nobody should
LINES = st.one_of(
    st.builds(
        "{}:{}:{}".format,
        st.sampled_from(["alice", "bob", "1000", "#carol", "DOM\\eve", "é", ""]),
        st.integers(0, 2**33),
        st.integers(0, 2**33),
    ),
    st.sampled_from(
        ["", "# a comment", "  ", "alice", "alice:1", "alice:1:2:3", "+::", "a:0x10:010"]
    ),
    st.text(st.characters(exclude_characters="\n"), max_size=12),
)
TEXTS = st.builds(
    lambda lines, end: "\n".join(lines) + end, st.lists(LINES), st.sampled_from(["", "\n"])
)
SMALL = st.builds(IdRange, st.integers(0, 60), st.integers(0, 12))
ENTRIES = st.lists(st.tuples(st.sampled_from(["alice", "bob"]), SMALL)).map(
    lambda found: [Entry(number, owner, ids) for number, (owner, ids) in enumerate(found, 1)]
)


@pytest.mark.parametrize(
    ("line", "owner", "ids", "usable"),
    [
        ("alice:100000:65536", "alice", (100000, 65536), True),
        ("1000:100000:65536", "1000", (100000, 65536), True),
        ("alice:0x186A0:0200000", "alice", (100000, 65536), True),
        ("alice: 100000:+65536", "alice", (100000, 65536), True),
        ("#alice:100000:65536", "#alice", (100000, 65536), True),
        ("alice:100000:1", "alice", (100000, 1), True),
        ("alice:100000:0", "alice", (100000, 0), False),
        ("alice:100000:65536:", "alice", (100000, 65536), False),
        (f"alice:{ID_MAX}:1", "alice", (ID_MAX, 1), True),
        (f"alice:{ID_MAX}:2", "alice", (ID_MAX, 2), False),
    ],
)
def test_entry(line: str, owner: str, ids: tuple[int, int], usable: bool) -> None:
    assert SubidTable.parse(line).entries == (Entry(1, owner, IdRange(*ids), usable),)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "alice",
        "alice:100000",
        ":100000:65536",
        "alice::65536",
        "alice:100000:",
        "alice:100000 :65536",
        "alice:-1:65536",
        "alice:09:65536",
        "alice:1e5:65536",
        "alice:100000:65536\r",
        "+alice:100000:65536",
        "# alice: see the wiki",
        "a" * 1020 + ":1:2",
    ],
)
def test_no_entry(line: str) -> None:
    assert SubidTable.parse(f"{line}\n").entries == ()


def test_lines_that_are_not_understood_are_found() -> None:
    table = SubidTable.parse(
        "# comment\n\n  # indented\nalice:100000:65536\nbob 200000\ncarol:1:2:3\n"
    )
    assert table.unknown == [5, 6]


@pytest.mark.parametrize(
    ("text", "number"),
    [("10", 10), ("0x10", 16), ("010", 8), ("0", 0), ("", None), ("0x", None), ("ten", None)],
)
def test_number(text: str, number: int | None) -> None:
    assert parse_number(text) == number


def test_number_of_many_digits_is_none() -> None:
    assert parse_number("9" * 5000) is None


def test_commented_entries_are_not_in_force() -> None:
    table = SubidTable.parse("#alice:100000:65536\nbob:100000:65536\n")
    assert [entry.owner for entry in table.entries] == ["#alice", "bob"]
    assert [entry.owner for entry in table.in_force] == ["bob"]


@given(TEXTS)
def test_every_line_stays(text: str) -> None:
    expected = text if not text or text.endswith("\n") else f"{text}\n"
    assert str(SubidTable.parse(text)) == expected


@given(TEXTS)
def test_reading_what_was_written_changes_nothing(text: str) -> None:
    table = SubidTable.parse(text)
    assert SubidTable.parse(str(table)) == table


@given(
    TEXTS, st.lists(st.tuples(st.sampled_from(["alice", "eve"]), SMALL.filter(lambda i: i.count)))
)
def test_added_lines_are_entries_at_the_end(text: str, new: list[tuple[str, IdRange]]) -> None:
    table = SubidTable.parse(text)
    more = table.adding(new)
    assert more.lines[: len(table.lines)] == table.lines
    assert [(entry.owner, entry.ids) for entry in more.entries[len(table.entries) :]] == new
    assert SubidTable.parse(str(more)) == more


@given(TEXTS)
def test_removed_lines_leave_the_others(text: str) -> None:
    table = SubidTable.parse(text)
    gone = table.by_owner().get("alice", [])
    left = table.without(gone)
    numbers = {entry.number for entry in gone}
    assert list(left.lines) == [line for n, line in enumerate(table.lines, 1) if n not in numbers]
    assert "alice" not in left.by_owner()


def test_lines_are_changed_and_removed_by_number() -> None:
    table = SubidTable.parse("# one\nalice:1:1\nbob:2:2\n")
    assert str(table.edited({2: "eve:1:1", 3: None})) == "# one\neve:1:1\n"


@given(ENTRIES)
def test_overlaps_are_those_that_comparing_all_pairs_finds(entries: list[Entry]) -> None:
    real = [entry for entry in entries if entry.ids.count]
    expected = {
        entry.number
        for entry in real
        if any(entry.ids.overlaps(other.ids) for other in real if other is not entry)
    }
    groups = overlapping(entries)
    numbers = [entry.number for group in groups for entry in group]
    assert sorted(numbers) == sorted(expected)
    for group in groups:
        for other in groups:
            assert group is other or not any(a.ids.overlaps(b.ids) for a in group for b in other)


@given(ENTRIES, st.sets(st.integers(0, 80)))
def test_real_ids_are_found_in_ranges(entries: list[Entry], ids: set[int]) -> None:
    expected = {}
    for entry in entries:
        inside = [number for number in sorted(ids) if entry.ids.start <= number <= entry.ids.last]
        if inside:
            expected[entry.number] = inside
    assert {e.number: list(found) for e, found in containing(entries, sorted(ids))} == expected
