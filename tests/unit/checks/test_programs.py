# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of the engines' programs; and how they are found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from recording import RecordingProcess
from telling import POLICY, only, told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.programs import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import known_runners
from ansible_collections.tre.ces.plugins.module_utils.ces.system import missing
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.programs import (
    Program,
    Programs,
    look_at_programs,
    version_in,
)

KNOWN = {name: one.programs for name, one in known_runners().items()}
PODMAN = Program("podman", "/usr/bin/podman", version=(5, 4, 2))
GOOD = Programs((), {"podman": (PODMAN,)}, networks={})


def with_podman(**changes: Any) -> Programs:
    return replace(GOOD, engines={"podman": (replace(PODMAN, **changes),)})


def test_good_programs_are_well() -> None:
    assert told(LOOKS, GOOD) == []
    assert told(LOOKS, replace(GOOD, storage="/x", storage_said="/x")) == []


@pytest.mark.parametrize(
    ("facts", "check", "level", "part"),
    [
        (replace(GOOD, unknown=("moby",)), "runners_known", "fault", "moby"),
        (
            with_podman(path="", version=(), missing="podman is not there", cure="install it"),
            "engines_installed",
            "fault",
            "and podman is not there: no run with podman starts. install it",
        ),
        (
            with_podman(version=(), complaint="no libgpgme"),
            "engines_answering",
            "fault",
            "libgpgme",
        ),
        (with_podman(version=(3, 0, 1)), "engine_versions", "fault", "3.4 or newer"),
        (with_podman(version=(4, 3, 1)), "engine_versions", "note", "4.3.1"),
        (replace(GOOD, parts_missing=("squashfuse",)), "apptainer_parts", "fault", "mount"),
        (replace(GOOD, parts_missing=("mksquashfs",)), "apptainer_parts", "warning", "ces-pull"),
        (replace(GOOD, networks={"pasta": "pasta"}), "networks", "warning", "pasta"),
        (
            replace(GOOD, storage="/x", storage_said="/y"),
            "podman_storage",
            "warning",
            "in /y: from",
        ),
        (
            replace(GOOD, storage="/x", storage_said="mkdir /y: permission denied"),
            "podman_storage",
            "fault",
            "cannot use it (mkdir /y",
        ),
    ],
)
def test_what_is_wrong_is_told(facts: Programs, check: str, level: str, part: str) -> None:
    only(LOOKS, facts, check, level, part)


def test_a_podman_that_does_not_know_pasta() -> None:
    policy = replace(POLICY, networks=("none", "pasta"))
    found = told(LOOKS, with_podman(version=(4, 3, 1)), policy)
    assert [(one.check, one.level) for one in found] == [
        ("engine_versions", "note"),
        ("networks", "warning"),
    ]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("podman version 5.4.2\n", (5, 4, 2)),
        ("apptainer version 1.4.5-3\n", (1, 4, 5)),
        ("crun version 1.21\ncommit: 10269840aa07fb7e6b7e1acff6198692d8ff5c88\n", (1, 21)),
        ("no number", ()),
        ("", ()),
    ],
)
def test_versions_are_read(text: str, version: tuple[int, ...]) -> None:
    assert version_in(text) == version


def test_an_old_umoci_is_well() -> None:
    """It is seen to have layers that zstd compressed, too (molecule/faults, test_check)."""
    umoci = Program("umoci", "/usr/bin/umoci", version=(0, 4, 7))
    assert told(LOOKS, Programs((), {"oci": (umoci,)}, networks={})) == []


def test_a_file_that_a_program_cannot_read_is_the_thing_to_mend() -> None:
    said = "Failed to obtain podman configuration: toml: line 1: expected '.'"
    finding = only(LOOKS, with_podman(version=(), complaint=said), "engines_answering", "fault", "")
    assert finding.cure.startswith("correct the file that it names")


def test_a_home_that_is_missing_is_not_told_of_programs(tmp_path: Path) -> None:
    (tmp_path / "podman").touch(mode=0o755)
    for home, given in ((f"{tmp_path}/none", "/"), (str(tmp_path), None)):
        account = Account("ada", os.geteuid(), home, (), {"PATH": str(tmp_path)})
        process = RecordingProcess()
        look_at_programs(account, POLICY, process, KNOWN)
        assert {command.env.get("HOME") for command in process.commands} == {given}


def test_programs_are_looked_for_where_engines_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bin/podman", "bin/crun", "opt/skopeo"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setattr(missing, "PLACES", (f"{tmp_path}/opt",))
    account = Account("ada", os.geteuid(), str(tmp_path), (), {"PATH": f"{tmp_path}/bin"})
    process = RecordingProcess()
    process.answer(f"{tmp_path}/bin/podman", stdout="podman version 5.4.2\n")
    process.answer(f"{tmp_path}/bin/crun", 127, stderr="crun: no libyajl\n")
    policy = replace(POLICY, runners=("podman", "oci", "moby"), networks=("none", "pasta"))
    found = look_at_programs(account, policy, process, KNOWN)
    assert found.unknown == ("moby",)
    assert found.engines["podman"] == (
        Program("podman", f"{tmp_path}/bin/podman", version=(5, 4, 2)),
    )
    crun, skopeo, umoci = found.engines["oci"]
    assert crun.complaint == "crun: no libyajl"
    assert f"{tmp_path}/opt/skopeo is installed, and PATH" in skopeo.missing
    assert f"add {tmp_path}/opt to PATH" in skopeo.cure
    assert (umoci.path, "umoci is not installed" in umoci.missing) == ("", True)
    assert "role oci" in umoci.cure
    assert found.networks == {"pasta": "pasta"}


BOTH = '[storage]\ngraphroot = "/root"\nrootless_storage_path = "{}"\n'
PLAIN = '[storage]\nrootless_storage_path = "{}"\n'


@pytest.mark.parametrize(
    ("conf", "own", "answer", "said"),
    [
        (PLAIN, False, {"stdout": "/nobody asks"}, ""),
        (BOTH, True, {"stdout": "/nobody asks"}, ""),
        (BOTH, False, {"stdout": "{}\n"}, "{}"),
        (BOTH, False, {"stdout": "{}/../link\n"}, "{}"),
        (BOTH, False, {"stdout": "/root\n"}, "/root"),
        (BOTH, False, {"rc": 125, "stderr": "a warning\npermission denied\n"}, "permission denied"),
    ],
)
def test_podman_is_asked_for_its_storage_where_versions_differ(
    tmp_path: Path, conf: str, own: bool, answer: dict[str, Any], said: str
) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    (tmp_path / "link").symlink_to(storage)
    place = tmp_path / "etc/containers"
    place.mkdir(parents=True)
    (place / "storage.conf").write_text(conf.format(storage))
    if own:
        (tmp_path / ".config/containers").mkdir(parents=True)
        (tmp_path / ".config/containers/storage.conf").write_text("[storage]\n")
    (tmp_path / "podman").touch(mode=0o755)
    account = Account("ada", 1234, str(tmp_path), (), {"PATH": str(tmp_path)})
    process = RecordingProcess()
    process.answer(f"{tmp_path}/podman --version", stdout="podman version 5.8.6\n")
    told = {key: one.format(storage) if key == "stdout" else one for key, one in answer.items()}
    process.answer("podman info", **told)
    found = look_at_programs(account, POLICY, process, KNOWN, str(tmp_path))
    assert found.storage_said == said.format(storage)
    assert bool(process.told("podman info")) == bool(said)
