# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the systemd-logind that runs is the one that the host has; a host of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.logind import outdated_logind

LIBRARY = "/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-{}.so"
MAPS = """\
55d0e2a00000-55d0e2a0a000 r--p 00000000 00:8e 2103 /usr/lib/systemd/systemd-logind{deleted}
7f5740910000-7f574099b000 r--p 00000000 00:8e 2147 {library}{deleted}
7f574099b000-7f5740c23000 r-xp 0008b000 00:8e 2147 {library}{deleted}
"""


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("runs", "installed", "deleted", "said"),
    [
        ("257", "257", "", ""),
        # an update of the same version
        ("257", "257", " (deleted)", ""),
        ("252", "257", " (deleted)", "252"),
        ("252-46.el9", "252-51.el9", " (deleted)", "252-46.el9"),
    ],
)
def test_another_version_is_told(
    tmp_path: Path, runs: str, installed: str, deleted: str, said: str
) -> None:
    service = "sys/fs/cgroup/system.slice/systemd-logind.service/cgroup.procs"
    write(tmp_path / service, "155\n")
    maps = MAPS.format(library=LIBRARY.format(runs), deleted=deleted)
    write(tmp_path / "proc/155/maps", maps)
    write(tmp_path / LIBRARY.format(installed)[1:], "")
    assert outdated_logind(str(tmp_path)) == said


def test_a_host_without_it_is_none(tmp_path: Path) -> None:
    assert outdated_logind(str(tmp_path)) == ""
