# SPDX-License-Identifier: GPL-3.0-or-later
"""What galaxy.yml declares is what roles and playbooks use; the README's installation works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / "build" / "collections" / "ansible_collections"
GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
NEEDED = GALAXY["dependencies"]
NAME = r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_.]*"
# a look-up, a filter, a test
PLUGINS = re.compile(rf"(?:(?:lookup|query|q)\(\s*['\"]|\|\s*|\bis\s+(?:not\s+)?)({NAME})")
PAGES = sorted([*ROOT.glob("playbooks/*.yml"), *ROOT.glob("roles/*/*/*.yml")])


def keys(value: object) -> Iterator[str]:
    """All keys of a document, however deep."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield str(key)
            yield from keys(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from keys(inside)


def collections_used() -> dict[str, Path]:
    """The collections whose names roles and playbooks have, each with a file that has it."""
    found: dict[str, Path] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        names = [*keys(yaml.safe_load(text)), *PLUGINS.findall(text)]
        for name in names:
            if re.fullmatch(NAME, name):
                found[".".join(name.split(".")[:2])] = page
    return found


def test_every_collection_that_is_used_is_declared() -> None:
    used = collections_used()
    assert {"ansible.builtin", "tre.ces"} <= set(used)
    for name, page in used.items():
        assert name in {"ansible.builtin", "tre.ces", *NEEDED}, f"{page} uses {name}"
    assert set(NEEDED) <= set(used), "declared, and not used"


def test_what_tests_install_is_what_is_declared() -> None:
    wanted = yaml.safe_load((ROOT / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    versions = {entry["name"]: entry["version"] for entry in wanted}
    assert NEEDED.items() <= versions.items()


def install_command() -> str:
    """The one line of the README's chapter on installation."""
    chapter = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Install\n")[1]
    (line,) = re.findall(r"^    (.+)$", chapter.split("\n## ")[0], re.M)
    return str(line)


ENOUGH = ("galaxy.yml", "README.md", "ansible.cfg", "meta", "playbooks", "testbed")
"""What a checkout must have to be installed and linked; the rest would take seconds to copy."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small one."""
    for name in ENOUGH:
        source, target = ROOT / name, tmp_path / "checkout" / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    return tmp_path / "checkout"


def link_checkout(checkout: Path) -> Path:
    """What testbed/setup does at its end."""
    script = ". testbed/setup && link_checkout"
    subprocess.run(["bash", "-euc", script], cwd=checkout, check=True)
    return checkout / "build" / "collections" / "ansible_collections" / "tre" / "ces"


def run_in(checkout: Path, line: str) -> str:
    """A line in a shell of somebody who has what the collection needs, and nothing else."""
    home = checkout.parent / "home"
    needed = home / ".ansible" / "collections" / "ansible_collections"
    for name in NEEDED:
        namespace, _dot, collection = name.partition(".")
        (needed / namespace).mkdir(parents=True, exist_ok=True)
        if not (needed / namespace / collection).exists():
            (needed / namespace / collection).symlink_to(COLLECTIONS / namespace / collection)
    path = f"{Path(sys.executable).parent}:{os.defpath}"
    done = subprocess.run(
        ["bash", "-euc", line],
        cwd=checkout,
        env={"HOME": str(home), "PATH": path, "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def an_older_one(home: Path) -> Path:
    """A copy of the same version, as an earlier installation left it."""
    directory = home / ".ansible/collections/ansible_collections/tre/ces"
    directory.mkdir(parents=True)
    info = {name: GALAXY[name] for name in ("namespace", "name", "version", "dependencies")}
    manifest = {"collection_info": info, "file_manifest_file": {"name": "FILES.json"}, "format": 1}
    (directory / "MANIFEST.json").write_text(json.dumps(manifest))
    (directory / "FILES.json").write_text('{"files": [], "format": 1}')
    (directory / "old").touch()
    return directory


def test_the_readme_installs_the_checkout_and_nothing_in_it(checkout: Path) -> None:
    link = link_checkout(checkout)
    before = sorted(checkout.rglob("*"))
    installed = an_older_one(checkout.parent / "home")
    run_in(checkout, install_command())
    assert (installed / "playbooks" / "backend.yml").is_file()
    assert not (installed / "old").exists()
    assert not (installed / "build").exists()
    assert link.resolve() == checkout
    assert sorted(checkout.rglob("*")) == before


def test_a_copy_in_build_is_replaced_by_the_checkout(checkout: Path) -> None:
    copy = checkout / "build" / "collections" / "ansible_collections" / "tre" / "ces"
    copy.mkdir(parents=True)
    (copy / "MANIFEST.json").write_text("{}")
    assert link_checkout(checkout) == copy
    assert copy.is_symlink()
    assert copy.resolve() == checkout
    link_checkout(checkout)
    assert copy.resolve() == checkout
