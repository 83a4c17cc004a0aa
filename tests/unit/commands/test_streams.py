# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands where a standard stream is closed or full, and where Ctrl-C comes early."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LAUNCHER = ROOT / "roles/ces_tools/files/launcher"


@pytest.fixture
def line(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``line(NAME, REDIRECTIONS, WORDS...)``: the end of a command that a shell starts so."""
    installed = tmp_path / "lib"
    installed.mkdir()
    (installed / "launcher").write_bytes(LAUNCHER.read_bytes())
    (installed / "ces_commands").symlink_to(LAUNCHER.parent / "ces_commands")
    (installed / "ces").symlink_to(ROOT / "plugins/module_utils/ces")

    def run(name: str, redirections: str, *words: str) -> subprocess.CompletedProcess[str]:
        link = tmp_path / name
        link.symlink_to(installed / "launcher")
        typed = shlex.join([sys.executable, "-IS", str(link), *words])
        return subprocess.run(
            ["/bin/sh", "-c", f"{typed} {redirections}"],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run


def test_output_that_cannot_be_written_is_told_in_a_line(
    line: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = line("ces-images", ">/dev/full", "--help")
    assert done.returncode == 125
    assert done.stderr.startswith("ces-images: could not go on: [Errno 28]")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("redirections", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "status"), [(["--help"], 0), (["--none"], 125), (["7"], 125)])
def test_a_stream_that_is_closed_changes_nothing_else(
    line: Callable[..., subprocess.CompletedProcess[str]],
    redirections: str,
    words: list[str],
    status: int,
) -> None:
    done = line("ces-runs", redirections, *words)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    # a complaint is no output
    assert bool(done.stdout) is (status == 0 and ">&-" not in redirections.replace("2>&-", ""))


def test_complaints_that_nobody_can_be_told_end_with_the_same_status(
    line: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert line("ces-runs", "2>/dev/full", "--none").returncode == 125


def test_ctrl_c_before_the_command_can_see_to_it_is_no_traceback(
    line: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    package = tmp_path / "lib/ces_commands"
    package.unlink()
    package.mkdir()
    (package / "main.py").write_text("raise KeyboardInterrupt\n")
    done = line("ces-images", "", "--help")
    assert (done.returncode, done.stderr) == (130, "")
