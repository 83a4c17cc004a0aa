# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a user's subordinate ids; and how they are found."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from telling import POLICY, only, told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.idmap import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.idmap import (
    IdMap,
    Ids,
    look_at_ids,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.subids import SubidHost
from ansible_collections.tre.ces.plugins.module_utils.ces.values.subids import Entry, IdRange


def entry(owner: str, start: int, count: int, number: int = 1) -> Entry:
    return Entry(number, owner, IdRange(start, count))


WHOLE = Ids(own=(entry("ada", 100000, 65536),), real={})
GOOD = IdMap("ada", 1001, 1002, "files", {"uid": WHOLE, "gid": WHOLE})


def with_uids(**changes: Any) -> IdMap:
    return replace(GOOD, ids={"uid": replace(WHOLE, **changes), "gid": WHOLE})


def test_a_good_user_is_well() -> None:
    assert told(LOOKS, GOOD) == []
    assert told(LOOKS, with_uids(in_use=(IdRange(100000, 65536),))) == []


@pytest.mark.parametrize(
    ("changes", "check", "level", "part"),
    [
        ({"own": ()}, "subid_given", "fault", "/etc/subuid"),
        ({"own": (entry("ada", 100000, 1000),)}, "subid_enough", "warning", "1000 ids"),
        ({"own": (entry("ada", 1000, 65536),)}, "subid_own", "fault", "own uid 1001"),
        (
            {"own": (entry("ada", 100000, 65536), entry("1001", 100000, 65536, 9))},
            "subid_twice",
            "fault",
            "1 (ada), 9 (1001)",
        ),
        ({"shared": (entry("bob", 100000, 9, 4),)}, "subid_shared", "warning", "bob (line 4)"),
        ({"real": {100007: "eve"}}, "subid_accounts", "warning", "eve (100007)"),
        ({"unclear": (3, 5)}, "subid_lines", "warning", "(3, 5)"),
        ({"in_use": (IdRange(500000, 65536),)}, "subid_in_use", "warning", "podman system migrate"),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, Any], check: str, level: str, part: str) -> None:
    only(LOOKS, with_uids(**changes), check, level, part)


def test_nothing_is_told_where_it_does_not_matter() -> None:
    ill = with_uids(own=())
    assert told(LOOKS, ill, replace(POLICY, runners=("apptainer",))) == []
    assert told(LOOKS, replace(ill, uid=0)) == []
    only(LOOKS, replace(ill, source="sss"), "subid_source", "note", "come from sss")


def test_facts_are_read_from_the_tables(tmp_path: Path) -> None:
    me = pwd.getpwnam("nobody")
    group = grp.getgrgid(me.pw_gid).gr_name
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "subuid").write_text("nobody:60000:10000\n65534:200000:5\nbob:65000:9\nx\n")
    (etc / "subgid").write_text("nobody:300000:65536\n")
    pause = tmp_path / "run/libpod/tmp/pause.pid"
    pause.parent.mkdir(parents=True)
    pause.write_text("77\n")
    (tmp_path / "proc/77").mkdir(parents=True)
    (tmp_path / "proc/77/uid_map").write_text("  0  65534  1\n  1  60000  10000\n")
    found = look_at_ids(me, f"{tmp_path}/run", SubidHost(str(etc)), str(tmp_path))
    assert (found.user, found.source) == ("nobody", "files")
    uids = found.ids["uid"]
    assert [one.number for one in uids.own] == [1, 2]
    assert [one.owner for one in uids.shared] == ["bob"]
    assert (uids.real or {})[65534] == "nobody"
    assert uids.unclear == (4,)
    assert uids.in_use == (IdRange(60000, 10000),)
    gids = found.ids["gid"]
    assert gids.in_use is None
    assert group not in (gids.real or {}).values()


def test_without_a_namespace_nothing_is_in_use(tmp_path: Path) -> None:
    found = look_at_ids(pwd.getpwuid(os.geteuid()), "", SubidHost(str(tmp_path)))
    assert found.ids["uid"] == Ids(real={})
