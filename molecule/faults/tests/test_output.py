# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that say much: nothing is lost, memory stays small, and nobody else hears it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from conftest import Play, User

LINE = "0123456789" * 7 + "\n"
COUNT = 2_800_000
BYTES = COUNT * len(LINE)
"""200 MB"""
SCRIPT = f"yes {LINE.strip()} | head -n {COUNT}"


def expected_digest() -> str:
    digest = hashlib.sha256()
    for _block in range(COUNT // 1000):
        digest.update(LINE.encode() * 1000)
    return digest.hexdigest()


def test_200_mb_of_output_pass_through_a_small_ces_run(alice: User) -> None:
    argv = ["ces-run", "podman", "--opt-file", "/dev/stdin", alice.image, "-c", SCRIPT]
    said = alice.host.ask(alice.name, "watch_memory", argv=argv, stdin="--entrypoint=/bin/sh\n")
    assert (said["status"], said["bytes"]) == (0, BYTES)
    assert said["peak"] < 40 * 1024, "KiB"
    assert said["seconds"] < 60
    number = alice.last_number()
    log = f"~/.local/state/ces/runs/{number}/output.log"
    assert alice.run(f"sha256sum {log}").out.split()[0] == expected_digest()
    alice.run(f"truncate -s 0 {log}").ok()
    assert alice.left() == {}


def test_the_module_returns_the_end_of_200_mb(alice: User, play: Play, tmp_path: Path) -> None:
    done = play(
        "alice",
        [
            {
                "tre.ces.ces_run": {
                    "image": alice.image,
                    "options": ["--entrypoint=/bin/sh"],
                    "args": ["-c", f"{SCRIPT}; echo the end"],
                },
                "register": "run",
            },
            {
                "ansible.builtin.assert": {
                    "that": [
                        "run.stdout | length <= 65536",
                        "run.stdout_lines[-1] == 'the end'",
                        "run.duration < 60",
                    ]
                }
            },
        ],
    )
    assert done.rc == 0, done.said
    number = alice.last_number()
    log = f"~/.local/state/ces/runs/{number}/output.log"
    assert alice.run(f"stat -c %s {log}; truncate -s 0 {log}").out == f"{BYTES + 8}\n"


def test_what_a_container_says_is_not_in_the_journal(alice: User) -> None:
    alice.shell_in_container("echo patient-4711; echo >&2 patient-4712").ok()
    journal = alice.host.root("journalctl --quiet --no-pager --output=cat --since=-1min --all")
    assert "patient-471" not in journal


def test_outputs_that_end_without_a_line_or_are_no_text_are_kept_as_they_are(alice: User) -> None:
    script = "printf 'no end'; printf '\\377\\000\\033[31m' >&2"
    alice.shell_in_container(script).ok()
    log = f"~/.local/state/ces/runs/{alice.last_number()}/output.log"
    assert "ff 00 1b" in alice.run(f"od -An -tx1 {log}").out


def test_an_error_that_a_container_makes_up_commands_no_terminal(alice: User) -> None:
    script = "printf 'Error: \\033]0;title\\007\\033[31mred\\n' >&2; exit 125"
    said = r"podman: \x1b]0;title\x07\x1b[31mred"
    done = alice.shell_in_container(script, "--json")
    assert "\x1b" not in done.out
    assert said in alice.record(alice.last_number())["reason"]
    shown = alice.command("ces-runs", str(alice.last_number())).ok()
    assert said in shown.out
    assert shown.said.replace("\n", "").isprintable()


def test_a_reader_that_goes_away_does_not_end_the_run(alice: User) -> None:
    line = f"ces-run podman --opt-file sh {alice.image} -c 'seq 100000; exit 5'"
    alice.command("tee", "sh", stdin="--entrypoint=/bin/sh").ok()
    done = alice.run(f'bash -c "set -o pipefail; {line} | head -n 1"')
    assert done.out == "1\n"
    number = alice.last_number()
    assert (done.rc, alice.record(number)["rc"]) == (5, 5)
    log = f"~/.local/state/ces/runs/{number}/output.log"
    assert alice.run(f"tail -n 1 {log}").out == "100000\n"
