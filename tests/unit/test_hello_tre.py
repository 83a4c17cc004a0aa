# SPDX-License-Identifier: GPL-3.0-or-later
"""The canary's options, and the helper that reads its output (real containers: molecule)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import loaded

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "images" / "hello-tre" / "hello-tre"


hello_tre = loaded(ROOT / "tests" / "hello_tre.py")

# What podman printed for:
#   -e HELLO_TRE='Good "day" $HOME' -v DATA:/safe_data:ro ... -d 2 --name="Ada L"
PRINTED = """\
Good "day" $HOME Ada L!
uid=0(root) gid=0(root)
/safe_data: root (0) root(0) drwxr-xr-x ext4
/safe_data: read ok, entries: 2
/safe_data: write refused, Read-only file system
/safe_outputs: root (0) root(0) drwxr-xr-x ext4
/safe_outputs: read ok, entries: 0
/safe_outputs: write ok
/scratch: root (0) root(0) drwxr-xr-x ext4
/scratch: read ok, entries: 0
/scratch: write ok
/safe_outputs/safe_outputs.txt: written
/safe_outputs/safe_data.txt: written
Sleeping, seconds: 2
1
2
Goodbye Ada L!
"""
EXPECTED = hello_tre.HelloTre(
    greeting='Good "day" $HOME',
    name="Ada L",
    duration=2,
    safe_data=hello_tre.Mount(entries=2, writable=False),
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


def test_the_output_of_a_real_run_is_as_expected() -> None:
    EXPECTED.check(PRINTED)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('Good "day" $HOME Ada L!', "Hello user!", "line 1: got 'Hello user!'"),
        ("uid=0(root)", "uid=1000(alice)", "line 2: got 'uid=1000(alice)"),
        ("entries: 2", "entries: 0", "line 4: got '/safe_data: read ok, entries: 0'"),
        ("write refused, Read-only file system", "write ok", "line 5: got '/safe_data: write ok'"),
        ("safe_outputs.txt: written", "safe_outputs.txt: not written, No space left", "line 12:"),
        ("Goodbye Ada L!\n", "", "line 17: got None, expected 'Goodbye"),
        ("Goodbye Ada L!\n", "Goodbye Ada L!\nmore\n", "line 18: got 'more', expected None"),
    ],
)
def test_each_wrong_line_is_named(before: str, after: str, told: str) -> None:
    assert before in PRINTED
    with pytest.raises(AssertionError) as caught:
        EXPECTED.check(PRINTED.replace(before, after, 1))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--bogus"], "unknown argument '--bogus'"),
        (["alice"], "unknown argument 'alice'"),
        ([""], "unknown argument ''"),
        (["-n"], "-n needs a value"),
        (["--name="], "--name takes a name, got ''"),
        (["--duration"], "--duration needs a value"),
        (["-d", "soon"], "-d takes whole seconds, got 'soon'"),
        (["-d", "-1"], "-d takes whole seconds, got '-1'"),
        (["--duration=1.5"], "--duration takes whole seconds, got '1.5'"),
        (["-d", "1000000000"], "-d takes whole seconds, got '1000000000'"),
        (["-n", "Ada", "--duration="], "--duration takes whole seconds, got ''"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_done(arguments: list[str], told: str) -> None:
    finished = run(*arguments)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr.splitlines()[0] == f"hello-tre: {told}"
    assert "Usage: hello-tre" in finished.stderr


def test_help_is_printed_and_nothing_else_is_done() -> None:
    finished = run("--help")
    assert finished.returncode == 0
    assert finished.stdout.startswith("Usage: hello-tre")
    assert finished.stderr == ""
