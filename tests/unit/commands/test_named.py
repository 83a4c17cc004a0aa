# SPDX-License-Identifier: GPL-3.0-or-later
"""Each command of the table is installed, listed, and has a door."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import yaml
from ces_commands.verbs import OLD_NAMES, VERBS, Verb

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = [f"ces-{name}" for name in VERBS]


def test_the_role_installs_every_command() -> None:
    text = (ROOT / "roles/ces_tools/vars/main.yml").read_text(encoding="utf-8")
    installed = yaml.safe_load(text)["__ces_tools_commands"]
    assert installed == sorted(["ces", *COMMANDS, *OLD_NAMES])


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("README.md", COMMANDS),
        ("roles/ces_tools/README.md", ["ces", *COMMANDS, *OLD_NAMES]),
    ],
)
def test_the_pages_that_list_commands_have_every_command(page: str, names: list[str]) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (listed,) = re.findall(
        r"^(?:\| commands|Installs the commands).*?(?:\|$|\.$)", text, re.M | re.S
    )
    assert sorted(re.findall(r"`(ces[a-z-]*)`", listed)) == sorted(names)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_every_command_has_a_door(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "plugins/module_utils"))
    door = importlib.import_module(f"ces_commands.doors.{verb.door}")
    assert callable(door.main)
