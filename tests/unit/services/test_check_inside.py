# SPDX-License-Identifier: GPL-3.0-or-later
"""Which image is fetched to be looked into, by whom, and who is judged by it. No engine runs.

What is seen in real images is in faults/test_check_inside.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recording import DIGEST, REGISTRY, BackEnd
from support import make_sif

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.facts import Image
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.images.store import LocalImage
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    Busy,
    CesError,
    Interrupted,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import check as plain
from ansible_collections.tre.ces.plugins.module_utils.ces.services import check_inside as module
from ansible_collections.tre.ces.plugins.module_utils.ces.services.check import Checked
from ansible_collections.tre.ces.plugins.module_utils.ces.services.check_inside import check_inside
from ansible_collections.tre.ces.plugins.module_utils.ces.services.images import store_of
from ansible_collections.tre.ces.plugins.module_utils.ces.services.pull import Pulled
from ansible_collections.tre.ces.plugins.module_utils.ces.system.subids import SubidHost
from ansible_collections.tre.ces.plugins.module_utils.ces.system.system import System
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageFile, ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.manifest import (
    CONFIGURATIONS,
    OCI,
    Layer,
    Manifest,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.platform import architecture_of
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import CheckSpec, PullSpec

NAME = f"{REGISTRY}/app:1"
SPEC = CheckSpec(ImageRef.parse(NAME))
OTHER = "sha256:" + "0" * 64
LAYER = Layer("application/vnd.oci.image.layer.v1.tar+gzip", 1000)
ARCHITECTURE = architecture_of(os.uname().machine)
SAID: dict[str, Any] = {
    "architecture": ARCHITECTURE,
    "os": "linux",
    "config": {"Entrypoint": ["/begin"], "Env": ["PATH=/bin"]},
}
MANIFEST = Manifest(DIGEST, OCI, OTHER, CONFIGURATIONS[0], (LAYER,))
TREE = (Path(__file__).parents[1] / "samples/sif/contents.squashfs").read_bytes()


class Site:
    """A back-end, and a registry with one image, whose files are a layer on this machine.

    :param pulls: what engines were told to fetch.
    """

    def __init__(self, backend: BackEnd, layer: Path) -> None:
        self.backend, self.layer = backend, layer
        self.pulls: list[str] = []
        self.asked = 0
        self.error: CesError | None = None
        self.said = SAID
        (layer / "bin").mkdir(parents=True)
        self.put("begin", "#!/bin/none\n")
        self.form: dict[str, Any] = {"Name": "overlay", "Data": {"UpperDir": str(layer)}}

    def put(self, path: str, text: str) -> None:
        (self.layer / path).write_text(text)
        (self.layer / path).chmod(0o755)

    def has(self, digest: str = DIGEST) -> None:
        """From now on podman has the image."""
        self.backend.has_image(NAME, digest)
        kept = {"said": self.said, "driver": self.form}
        self.backend.process.answer(
            'podman image inspect --format {"said"', stdout=json.dumps(kept)
        )

    def pull(self, spec: PullSpec, system: System) -> Pulled:
        self.pulls.append(spec.runner)
        if self.error is not None:
            raise self.error
        self.has()
        return Pulled(True, store_of(spec.runner, system).find(spec.image), DIGEST, None)

    def question(self, spec: CheckSpec, _system: System) -> Callable[[], tuple[Any, str]]:
        self.asked += 1
        return lambda: (Image(str(spec.image), manifest=MANIFEST, raw=self.said), NAME)

    def check(self, spec: CheckSpec = SPEC, check_only: bool = False) -> Checked:
        return check_inside(spec, self.backend.system, check_only)


@pytest.fixture
def site(backend: BackEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    found = Site(backend, tmp_path / "layer")
    monkeypatch.setattr(module, "pull_image", found.pull)
    monkeypatch.setattr(module, "question", found.question)
    etc = tmp_path / "etc"
    etc.mkdir()
    host = SubidHost(str(etc))
    monkeypatch.setattr(plain, "SubidHost", lambda: host)
    uid = os.geteuid() or 4321
    os.chown(backend.place / "run", uid, -1)
    for kind in ("uid", "gid"):
        (etc / f"sub{kind}").write_text(f"{uid}:300000:10\n")
    backend.system.account = replace(backend.system.account, uid=uid)
    policy = backend.system.policy
    backend.system.policy = replace(policy, runners=("podman", "oci"), default_runner="podman")
    return found


def level(checked: Checked, runner: str, check: str) -> list[str]:
    (verdict,) = [one for one in checked.verdicts if one.runner == runner]
    return [one.level for one in verdict.findings if one.check == check]


def said(checked: Checked, runner: str, check: str) -> str:
    (verdict,) = [one for one in checked.verdicts if one.runner == runner]
    return " ".join(str(one) for one in verdict.findings if one.check == check)


def test_the_engine_that_counts_fetches_and_all_are_judged(site: Site) -> None:
    checked = site.check()
    assert (site.pulls, site.asked) == (["podman"], 1)
    assert site.backend.said == [f"podman is pulling {NAME}"]
    assert (checked.works, checked.pulled, checked.digest) == (False, True, DIGEST)
    for runner in ("podman", "oci"):
        assert level(checked, runner, "interpreter") == ["fault"]
    assert f"ces-rm podman {NAME} removes it" in said(checked, "podman", "pull")
    assert said(checked, "oci", "pull") == "its files were looked at where podman keeps them"
    assert checked.as_dict()["pulled"] is True


def test_what_is_here_is_looked_at_without_its_registry(site: Site) -> None:
    site.has()
    checked = site.check()
    assert (site.pulls, site.asked) == ([], 0)
    assert (checked.works, checked.pulled, checked.digest) == (False, False, DIGEST)
    assert checked.platform == f"linux/{ARCHITECTURE}"
    assert level(checked, "podman", "pull") == ["ok"]


def test_another_image_of_that_name_is_not_judged_by_these_files(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.has()
    look = plain.look_at_engine

    def with_another(name: str, *rest: Any) -> Any:
        engine, here = look(name, *rest)
        other = LocalImage("oci", "x", OTHER, (f"{REGISTRY}/app@{OTHER}",))
        return (engine, other) if name == "oci" else (engine, here)

    monkeypatch.setattr(module, "look_at_engine", with_another)
    checked = site.check()
    assert level(checked, "oci", "interpreter") == []
    assert f"oci has another image of that name ({OTHER})" in said(checked, "oci", "pull")


@pytest.mark.parametrize("here", [True, False])
def test_what_would_happen_is_told_and_nothing_done(site: Site, here: bool) -> None:
    if here:
        site.has()
    checked = site.check(check_only=True)
    assert site.pulls == [] and checked.pulled is not here
    assert level(checked, "podman", "interpreter") == (["fault"] if here else [])


def test_what_cannot_work_is_not_fetched(site: Site) -> None:
    site.said = {**SAID, "config": {}}
    checked = site.check()
    assert site.pulls == [] and not checked.pulled
    assert "nothing was pulled for podman" in said(checked, "podman", "pull")


def test_what_cannot_be_pulled_is_a_fault_of_that_engine_alone(site: Site) -> None:
    steps = "Copying blob 1\nCopying blob 2\nError: owners beyond your range\n"
    site.error = CesError("pull it", said=steps, hint="use oci", stderr=steps)
    checked = site.check()
    assert (checked.works, checked.others, checked.pulled) == (False, ["oci"], False)
    assert checked.verdicts[0].reason == "Error: owners beyond your range. use oci"
    assert level(checked, "oci", "pull") == ["note"]


@pytest.mark.parametrize(
    "error", [Interrupted("pull it", "SIGTERM"), Busy("pull it", said="another is at it")]
)
def test_what_says_nothing_of_the_image_is_no_verdict(site: Site, error: CesError) -> None:
    site.error = error
    with pytest.raises(type(error)):
        site.check()


def test_an_engine_that_cannot_be_used_fetches_nothing(site: Site) -> None:
    (site.backend.place / "bin/podman").unlink()
    checked = site.check()
    assert site.pulls == [] and level(checked, "podman", "engine") == ["fault"]
    assert "podman cannot be used" in said(checked, "oci", "pull")


def test_an_image_that_the_site_does_not_allow_is_told_of_where_it_is_here(site: Site) -> None:
    site.has()
    site.backend.system.policy = replace(site.backend.system.policy, registries=())
    checked = site.check()
    assert not checked.works and level(checked, "podman", "policy") == ["fault"]


def test_files_of_a_form_that_is_not_read_are_told(site: Site) -> None:
    site.form = {"Name": "vfs", "Data": None}
    checked = site.check()
    assert checked.works and checked.pulled
    assert "podman keeps it in the form 'vfs'" in said(checked, "podman", "pull")
    assert "it stays in " in said(checked, "podman", "pull")


def test_the_driver_is_asked_for_where_there_is_cuda(site: Site) -> None:
    site.put("begin", "\x7fELF")
    site.put("libcudart.so.12.4.127", "")
    site.backend.process.answer("nvidia-smi --query-gpu=driver_version", stdout="470.256.02\n")
    assert level(site.check(), "podman", "cuda") == ["warning"]
    (site.layer / "libcudart.so.12.4.127").unlink()
    site.backend.process.commands.clear()
    assert level(site.check(), "podman", "cuda") == ["ok"]
    assert site.backend.process.told("nvidia-smi") == []


def test_owners_are_held_against_the_users_own_ids(site: Site) -> None:
    """All files here belong to whoever runs the tests."""
    uids = {os.geteuid(), *range(300_000, 300_010)}
    own = site.backend.system.account.uid in uids
    assert level(site.check(), "podman", "owners") == (["ok"] if own else ["warning"])
    assert level(site.check(), "oci", "owners") == ["ok"]


@pytest.mark.skipif(ARCHITECTURE != "amd64", reason="the file is for amd64")
def test_an_image_file_is_looked_into(site: Site, tmp_path: Path) -> None:
    policy = site.backend.system.policy
    site.backend.system.policy = replace(policy, runners=("apptainer", "podman"), sif_files="any")
    config = {"Entrypoint": ["small"], "Env": ["PATH=/bin"], "WorkingDir": "/lines"}
    file = make_sif(tmp_path / "a.sif", config, b"02", files=TREE)
    checked = site.check(CheckSpec(ImageFile(str(file)), "apptainer"))
    assert (site.asked, site.pulls, checked.pulled) == (0, [], False)
    assert level(checked, "apptainer", "executable") == ["ok"]
    assert "names the interpreter '/bin/sh'" in said(checked, "apptainer", "interpreter")
    assert "its WORKDIR '/lines' is a file" in said(checked, "apptainer", "start")
