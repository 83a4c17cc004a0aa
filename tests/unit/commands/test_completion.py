# SPDX-License-Identifier: GPL-3.0-or-later
"""What bash offers behind a command, as bash itself says it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ces_commands.manual import generated
from ces_commands.verbs import VERBS

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import NAMES


def completed(words: str, place: Path) -> set[str]:
    """What bash offers for the word behind these, in a directory."""
    script = generated("1.2.3")["share/bash-completion/completions/ces"]
    ask = f'COMP_WORDS=({words} ""); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _ces'
    done = subprocess.run(
        ["bash", "-uc", f'{script}\n{ask}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", [name for name, verb in VERBS.items() if verb.takes_runner])
@pytest.mark.parametrize("spelled", ["ces-{}", "/usr/local/bin/ces-{}", "ces {}"])
def test_bash_offers_the_runners(tmp_path: Path, spelled: str, name: str) -> None:
    assert completed(spelled.format(name), tmp_path) == set(NAMES)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("ces-bundle --to", {"directory"}),
        ("ces-run --outputs", {"directory"}),
        ("ces bundle --to", {"directory"}),
        ("ces-pull --authfile", {"directory", "file"}),
        ("ces-pm-run --env-file", {"directory", "file"}),
    ],
)
def test_bash_offers_files_and_directories_where_an_option_takes_them(
    tmp_path: Path, words: str, offered: set[str]
) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    assert completed(words, tmp_path) == offered


def test_no_name_of_an_image_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gave it: an engine's list is an engine's."""
    names = ("r.example.org/a/b:1", f"r.example.org/$(touch${{IFS}}{tmp_path}/canary):1", "`id`")
    program = tmp_path / "ces-images"
    listed = "\n".join(("IMAGE  RUNNER", *names))
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{listed}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert completed("ces-run", tmp_path) == {*NAMES, names[0]}
    assert not (tmp_path / "canary").exists()
