# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines are told for a canary, and what comes of what they do; no engine runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from recording import BackEnd

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.services.canary import canary_findings
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command

ENGINES = ("podman", "apptainer", "oci")
STARTS = {"podman": "podman run", "apptainer": "apptainer --silent", "oci": "crun"}


@pytest.fixture
def work(backend: BackEnd) -> Path:
    """Where the user's images are; engines there write as a container would."""
    library = backend.place / "libc.so.6"
    library.write_text("library")
    backend.process.answer("ldd", stdout=f"\tlibc.so.6 => {library} (0x00007f1)\n")

    def as_a_container(command: Command, _streams: Streams) -> Finished:
        work = next((backend.home / ".local/share/ces").iterdir())
        assert (work / "image/bin/sh").stat().st_mode & 0o111
        assert (work / f"image{library}").read_text() == "library"
        (work / "outputs/proof").write_text("written by the container\n")
        return Finished(command.argv, 0)

    for beginning in STARTS.values():
        backend.process.then(beginning, as_a_container)
    return backend.home / ".local/share/ces"


def found(backend: BackEnd, *engines: str) -> dict[str, tuple[str, str]]:
    policy = replace(backend.system.policy, runners=engines or ENGINES)
    findings = canary_findings(backend.system.account, policy, backend.process)
    return {one.check: (one.level, str(one)) for one in findings}


def test_each_allowed_engine_runs_one(backend: BackEnd, work: Path) -> None:
    levels = {check: level for check, (level, _said) in found(backend).items()}
    assert levels == {f"canary_{name}": "ok" for name in ENGINES}
    (podman,) = backend.process.told("podman run")
    directory = f"{work}/doctor-{os.getpid()}"
    assert podman[-6:-3] == ("--rootfs", "--", f"{directory}/image:O")
    assert "--network=none" in podman
    (apptainer,) = backend.process.told("apptainer")
    assert f"{directory}/image" in apptainer
    assert list(work.iterdir()) == []


def test_an_engine_that_the_site_does_not_allow_is_left_alone(backend: BackEnd, work: Path) -> None:
    assert list(found(backend, "oci", "moby")) == ["canary_oci"]
    assert backend.process.told("podman") == []


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_engine_said_is_told_with_a_cure(backend: BackEnd, work: Path, engine: str) -> None:
    backend.process.answer(STARTS[engine], 1, stderr="clone: Operation not permitted")
    level, said = found(backend, engine)[f"canary_{engine}"]
    assert level == "fault"
    assert "does not do its work: clone: Operation not permitted. " in said
    assert list(work.iterdir()) == []


def test_crun_says_it_in_a_file(backend: BackEnd, work: Path) -> None:
    def refuse(command: Command, _streams: Streams) -> Finished:
        directory = next(work.iterdir())
        bundle = directory / f"run-{os.getpid()}"
        assert json.loads((bundle / "config.json").read_text())["process"]["args"][0] == "/bin/sh"
        (bundle / "aside").write_text('{"msg":"mount `overlay` failed"}')
        return Finished(command.argv, 1)

    backend.process.then("crun", refuse)
    assert "role container_storage" in found(backend, "oci")["canary_oci"][1]


def test_a_container_that_wrote_nothing_did_not_do_its_work(backend: BackEnd, work: Path) -> None:
    backend.process.answer("apptainer", 0)
    level, said = found(backend, "apptainer")["canary_apptainer"]
    assert (level, "ended with 0, and no word" in said) == ("fault", True)


def test_without_room_it_is_said(backend: BackEnd, work: Path) -> None:
    backend.process.answer("ldd", stdout="\tlibc => /no/such/library (0x00007f1)\n")
    assert "/no/such/library" in found(backend, "podman")["canary_podman"][1]
    assert list(work.iterdir()) == []
