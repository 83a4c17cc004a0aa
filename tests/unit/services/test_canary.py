# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines are told for a canary, and what comes of what they do; no engine runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from recording import BackEnd

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.canary import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.checks.look import findings_of
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.apptainer.images import trial
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services.canary import run_canaries
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command

ENGINES = ("podman", "apptainer", "oci")
STARTS = {"podman": "podman run", "apptainer": "apptainer exec --containall", "oci": "crun"}
NET = "net: Inter-|\nnet: face\nnet: lo:\n"
ME = os.geteuid()
PROOF = {
    "podman": f"written by the container\nUid: 0\nids: 1\nids: 65536\n{NET}",
    "apptainer": f"written by the container\nUid: {ME}\nids: 1\n{NET}",
    "crun": f"written by the container\nUid: 0\nids: 1\n{NET}",
}
INFO: dict[str, Any] = {
    "host": {"security": {"rootless": True}},
    "store": {"graphDriverName": "overlay", "runRoot": f"/run/user/{ME}/containers"},
}


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
        (work / "outputs/proof").write_text(PROOF[command.argv[0]])
        return Finished(command.argv, 0)

    backend.process.answer("podman info", stdout=json.dumps(INFO))
    for beginning in STARTS.values():
        backend.process.then(beginning, as_a_container)
    return backend.home / ".local/share/ces"


def found(backend: BackEnd, *engines: str) -> dict[str, tuple[str, str]]:
    policy = replace(backend.system.policy, runners=engines or ENGINES)
    account = replace(backend.system.account, uid=ME)
    trials = run_canaries(account, policy, backend.process)
    findings = findings_of(LOOKS, trials, policy)
    return {one.check: (one.level, str(one)) for one in findings}


def test_each_allowed_engine_runs_one(backend: BackEnd, work: Path) -> None:
    levels = {check: level for check, (level, _said) in found(backend).items()}
    assert levels == {f"canary_{name}": "ok" for name in ENGINES}
    image = f"localhost/ces-doctor-{os.getpid()}:latest"
    directory = f"{work}/doctor-{os.getpid()}"
    (given,) = backend.process.told("podman import")
    assert given[-2:] == (f"{directory}/image.tar", image)
    (podman,) = backend.process.told("podman run")
    assert podman[-5:-3] == ("--", image)
    assert "--network=none" in podman
    assert backend.process.told("podman rmi") == [("podman", "rmi", image)]
    asked, made, ran, by_hand = backend.process.told("apptainer")
    assert asked[1:] == ("--version",)
    assert made[-2:] == (f"{directory}/image.sif", f"{directory}/image")
    assert f"{directory}/image.sif" in ran
    assert "--containall" not in by_hand
    own = [c.env["APPTAINER_CONFIGDIR"] for c in backend.process.commands if "apptainer" in c.argv]
    assert own == [f"{directory}/config"] * 4
    assert list(work.iterdir()) == []


def test_an_engine_that_the_site_does_not_allow_is_left_alone(backend: BackEnd, work: Path) -> None:
    assert "not allowed" in found(backend, "oci", "moby")["canary_podman"][1]
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
    backend.process.answer("apptainer exec", 0)
    level, said = found(backend, "apptainer")["canary_apptainer"]
    assert (level, "ended with 0, and no word" in said) == ("fault", True)


@pytest.mark.parametrize(
    ("engine", "proof", "part"),
    [
        ("podman", "Uid: 7\nids: 65537\nnet: lo:\n", "its user is 7 in it, and not 0"),
        ("podman", "Uid: 0\nids: 1\nids: 999\nnet: lo:\n", "it has 1000 ids"),
        ("apptainer", f"Uid: {ME}\nids: 1\nnet: lo:\nnet: eth0:\n", "has lo, eth0"),
        ("oci", "Uid: 0\nids: 1\n", "has none"),
    ],
)
def test_a_container_that_is_not_as_it_should_be(
    backend: BackEnd, work: Path, engine: str, proof: str, part: str
) -> None:
    def otherwise(command: Command, _streams: Streams) -> Finished:
        directory = next(work.iterdir())
        (directory / "outputs/proof").write_text(f"written by the container\n{proof}")
        return Finished(command.argv, 0)

    backend.process.then(STARTS[engine], otherwise)
    level, said = found(backend, engine)[f"canary_{engine}"]
    assert (level, part in said) == ("warning", True), said


def test_where_a_containers_conf_breaks_our_promise_podman_is_told_otherwise(
    backend: BackEnd, work: Path
) -> None:
    file = backend.home / ".config/containers/containers.conf"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('[containers]\nvolumes = ["/srv:/srv"]\n')
    backend.process.answer("podman --version", stdout="podman version 5.4.2\n")
    seen: list[str] = []

    def run(command: Command, _streams: Streams) -> Finished:
        seen.append(Path(command.env["CONTAINERS_CONF_OVERRIDE"]).read_text())
        (next(work.iterdir()) / "outputs/proof").write_text(PROOF["podman"])
        return Finished(command.argv, 0)

    backend.process.then(STARTS["podman"], run)
    assert found(backend, "podman")["canary_podman"][0] == "ok"
    assert "volumes = []" in seen[0]


@pytest.mark.parametrize(("engine", "level"), [("oci", "ok"), ("podman", "fault")])
def test_without_a_session(
    backend: BackEnd, work: Path, monkeypatch: pytest.MonkeyPatch, engine: str, level: str
) -> None:
    """crun needs none for this; podman would note a wrong place of its state."""

    def none(_account: Account) -> str:
        raise CesError("find the runtime directory", said="there is no session")

    monkeypatch.setattr(Account, "runtime_base", property(none))
    assert found(backend, engine)[f"canary_{engine}"][0] == level
    assert backend.process.told("podman") == []


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"graphDriverName": "vfs"}, "podman's driver is vfs, and not overlay"),
        ({"runRoot": "/srv/elsewhere"}, "run root is /srv/elsewhere"),
    ],
)
def test_storage_that_is_not_as_it_should_be(
    backend: BackEnd, work: Path, changes: dict[str, str], part: str
) -> None:
    info = {**INFO, "store": {**INFO["store"], **changes}}
    backend.process.answer("podman info", stdout=json.dumps(info))
    assert part in found(backend, "podman")["canary_podman"][1]


def test_an_image_that_was_unpacked_or_written_in(backend: BackEnd, work: Path) -> None:
    def unpacked(command: Command, _streams: Streams) -> Finished:
        (next(work.iterdir()) / "outputs/proof").write_text(PROOF["apptainer"])
        said = "INFO:    Converting SIF file to temporary sandbox..."
        return Finished(command.argv, 0, stderr=said)

    def written(command: Command, _streams: Streams) -> Finished:
        directory = next(work.iterdir())
        (directory / "outputs/proof").write_text(PROOF["crun"])
        (directory / "image/etc/written").write_text("x")
        return Finished(command.argv, 0)

    backend.process.then(STARTS["apptainer"], unpacked)
    backend.process.then(STARTS["oci"], written)
    seen = found(backend, "apptainer", "oci")
    assert "squashfuse" in seen["canary_apptainer"][1]
    assert "is in the image" in seen["canary_oci"][1]


@pytest.mark.parametrize(("conf", "level"), [("yes", "ok"), ("no", "warning")])
def test_a_home_that_is_there_against_the_configuration(
    backend: BackEnd,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    conf: str,
    level: str,
) -> None:
    file = tmp_path / "apptainer.conf"
    file.write_text(f"# mount home = x\nmount home = {conf}\n")
    monkeypatch.setattr(trial, "_CONF", str(file))
    backend.process.answer("apptainer --silent exec", stdout="visible\n")
    assert found(backend, "apptainer")["canary_apptainer"][0] == level


def test_without_room_it_is_said(backend: BackEnd, work: Path) -> None:
    backend.process.answer("ldd", stdout="\tlibc => /no/such/library (0x00007f1)\n")
    assert "/no/such/library" in found(backend, "podman")["canary_podman"][1]
    assert list(work.iterdir()) == []
