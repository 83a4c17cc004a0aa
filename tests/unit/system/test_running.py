# SPDX-License-Identifier: GPL-3.0-or-later
"""What users run, beside what a session brings by itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.running import running

OWN = "0::/user.slice/user-7.slice/user@7.service"


@pytest.mark.parametrize(
    ("name", "state", "cgroup", "counts"),
    [
        ("systemd", "S (sleeping)", f"{OWN}/init.scope", False),
        ("dbus-daemon", "S (sleeping)", f"{OWN}/session.slice/dbus.service", False),
        ("catatonit", "S (sleeping)", f"{OWN}/user.slice/podman-pause-24b2.scope", False),
        ("conmon", "S (sleeping)", f"{OWN}/user.slice/libpod-conmon-1.scope", True),
        ("sleep", "S (sleeping)", f"{OWN}/app.slice/mine.service", True),
        ("bash", "R (running)", "0::/user.slice/user-7.slice/session-3.scope", True),
        ("python3", "S (sleeping)", "2:cpu:/\n0::/system.slice/cron.service", True),
        ("sh", "Z (zombie)", "0::/", False),
    ],
)
def test_what_counts(tmp_path: Path, name: str, state: str, cgroup: str, counts: bool) -> None:
    process = tmp_path / "123"
    process.mkdir()
    (process / "status").write_text(f"Name:\t{name}\nState:\t{state}\nUid:\t7\t7\t7\t7\n")
    (process / "cgroup").write_text(cgroup + "\n")
    (tmp_path / "124").mkdir()  # one that ends meanwhile
    (tmp_path / "version").touch()
    assert running(str(tmp_path)) == ({7: (name,)} if counts else {})


def test_a_users_word_for_a_process_commands_no_terminal(tmp_path: Path) -> None:
    process = tmp_path / "123"
    process.mkdir()
    name = "a\x1b[2J\rUid:\u009b"
    (process / "status").write_text(f"Name:\t{name}\nState:\tS\nUid:\t7\t7\t7\t7\n", newline="")
    (process / "cgroup").write_text("0::/\n")
    assert running(str(tmp_path)) == {7: (r"a\x1b[2J\rUid:\x9b",)}


def test_ours_is_among_them() -> None:
    mine = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    assert mine in running()[os.getuid()]
