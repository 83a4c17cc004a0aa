# SPDX-License-Identifier: GPL-3.0-or-later
"""What is gathered about an image and each engine. No engine runs: see RecordingProcess.

That predictions come true is seen on real hosts (faults/test_check.py).
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from recording import DIGEST, REGISTRY, BackEnd
from support import make_sif

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    Denied,
    InvalidValue,
    NotFound,
    NoVariant,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import check as module
from ansible_collections.tre.ces.plugins.module_utils.ces.services.check import (
    Checked,
    check_for_here,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system import registry as asked
from ansible_collections.tre.ces.plugins.module_utils.ces.system.subids import SubidHost
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageFile, ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.manifest import (
    CONFIGURATIONS,
    OCI,
    Layer,
    Manifest,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.platform import architecture_of
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import AllowedRegistry
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    CheckSpec,
    Credentials,
)

NAME = f"{REGISTRY}/app:1"
SPEC = CheckSpec(ImageRef.parse(NAME))
OTHER = "sha256:" + "0" * 64
LAYER = Layer("application/vnd.oci.image.layer.v1.tar+gzip", 1000)
CONFIG = {"Entrypoint": ["/bin/app"], "Env": ["PATH=/bin"]}


SAID: dict[str, Any] = {
    "architecture": architecture_of(os.uname().machine),
    "os": "linux",
    "config": CONFIG,
    "rootfs": {"diff_ids": [OTHER]},
}
"""What the image says of itself."""


class ToldRegistry:
    """Says of every image the same; system/registry/ asks truly."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Credentials | None]] = []
        self.blobs: list[str] = []
        self.manifest = Manifest(DIGEST, OCI, OTHER, CONFIGURATIONS[0], (LAYER,))
        self.config: bytes | dict[str, Any] = SAID
        self.error: Exception | None = None

    def __call__(self, image: ImageRef, login: Credentials | None, *_more: Any) -> ToldRegistry:
        self.asked.append((str(image), login))
        self.patience = _more[-1]
        return self

    def described(self) -> Manifest:
        if self.error is not None:
            raise self.error
        return self.manifest

    def blob(self, digest: str) -> bytes:
        self.blobs.append(digest)
        return self.config if isinstance(self.config, bytes) else json.dumps(self.config).encode()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> ToldRegistry:
    told = ToldRegistry()
    monkeypatch.setattr(asked, "registry_here", told)
    return told


@pytest.fixture
def subids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tables of subordinate ids."""
    etc = tmp_path / "etc"
    etc.mkdir()
    monkeypatch.setattr(module, "SubidHost", lambda: _SUBIDS(str(etc)))
    return etc


_SUBIDS = SubidHost


UID = os.geteuid() or 4321


@pytest.fixture(autouse=True)
def an_ordinary_user(backend: BackEnd, subids: Path) -> None:
    """No table of subordinate ids says anything of root, who may be the user of these tests."""
    os.chown(backend.place / "run", UID, -1)
    backend.system.account = replace(backend.system.account, uid=UID)
    allow(backend, "podman", "apptainer", "oci")
    for kind in ("uid", "gid"):
        (subids / f"sub{kind}").write_text(f"ada:100000:65536\nbob:200000:5\n{UID}:300000:10\n")


def allow(backend: BackEnd, *runners: str, **more: Any) -> None:
    policy = replace(backend.system.policy, runners=runners, default_runner=runners[0], **more)
    backend.system.policy = policy


def levels(checked: Checked, runner: str = "podman") -> dict[str, str]:
    (verdict,) = [one for one in checked.verdicts if one.runner == runner]
    return {one.check: one.level for one in verdict.findings if one.level != "ok"}


def test_an_image_that_works_does_so_under_every_engine(
    backend: BackEnd, registry: ToldRegistry
) -> None:
    checked = check_for_here(SPEC, backend.system)
    assert [(one.runner, one.words, one.reason) for one in checked.verdicts] == [
        ("podman", "works", ""),
        ("apptainer", "works", ""),
        ("oci", "works", ""),
    ]
    assert (checked.works, checked.runner, checked.digest) == (True, "podman", DIGEST)
    assert (checked.size, checked.source) == (1000, NAME)
    assert registry.asked == [(NAME, Credentials())]
    assert registry.blobs == [OTHER]


def test_nothing_is_changed(backend: BackEnd, registry: ToldRegistry) -> None:
    before = backend.files()
    check_for_here(SPEC, backend.system)
    # but for its own directory in memory
    assert {**backend.files(), "run/ces": ""} == {**before, "run/ces": ""}


def test_one_runner_may_be_named(backend: BackEnd, registry: ToldRegistry) -> None:
    allow(backend, "podman", "oci")
    checked = check_for_here(replace(SPEC, runner="oci"), backend.system)
    assert [one.runner for one in checked.verdicts] == ["oci"] == [checked.runner]


def test_a_runner_that_does_not_exist_is_an_error(backend: BackEnd, registry: ToldRegistry) -> None:
    with pytest.raises(InvalidValue, match="the runners are podman, apptainer, oci"):
        check_for_here(replace(SPEC, runner="docker"), backend.system)


def test_the_default_engine_counts_and_others_are_told(
    backend: BackEnd, registry: ToldRegistry
) -> None:
    registry.config = {**SAID, "config": {**CONFIG, "User": "70000"}}
    checked = check_for_here(SPEC, backend.system)
    assert (checked.works, checked.others) == (False, ["apptainer", "oci"])
    assert "your containers have ids up to 65546" in checked.verdicts[0].reason
    allow(backend, "oci", "podman")
    checked = check_for_here(SPEC, backend.system)
    assert (checked.runner, checked.works, checked.others) == ("oci", True, [])


@pytest.mark.parametrize(
    ("text", "works"),
    [("ada:100000:65536\n", True), ("#ada:1:99\nbob:1:70000\n", False), ("", False)],
)
def test_only_the_users_own_ranges_count(
    backend: BackEnd, registry: ToldRegistry, subids: Path, text: str, works: bool
) -> None:
    registry.config = {**SAID, "config": {**CONFIG, "User": "65536"}}
    (subids / "subuid").write_text(text)
    assert check_for_here(SPEC, backend.system).works is works


def test_ranges_that_no_file_says_are_not_guessed(
    backend: BackEnd, registry: ToldRegistry, subids: Path
) -> None:
    registry.config = {**SAID, "config": {**CONFIG, "User": "70000"}}
    (subids / "nsswitch.conf").write_text("subid: sss\n")
    assert levels(check_for_here(SPEC, backend.system)) == {"user": "warning"}


@pytest.mark.parametrize(
    ("runner", "program", "role"),
    [
        ("podman", "podman", "podman"),
        ("oci", "crun", "oci"),
        ("oci", "skopeo", "oci"),
        ("oci", "umoci", "oci"),
        ("apptainer", "apptainer", "apptainer"),
    ],
)
def test_a_program_that_is_missing_is_a_fault(
    backend: BackEnd, registry: ToldRegistry, runner: str, program: str, role: str
) -> None:
    (backend.place / "bin" / program).unlink()
    checked = check_for_here(replace(SPEC, runner=runner), backend.system)
    (fault,) = [one for one in checked.verdicts[0].findings if one.level == "fault"]
    assert (fault.check, fault.role) == ("engine", role)
    assert fault.said.startswith(f"{program} is not installed on this host (PATH is ")


def test_a_runner_that_the_site_does_not_allow_is_a_fault(
    backend: BackEnd, registry: ToldRegistry
) -> None:
    allow(backend, "podman")
    checked = check_for_here(replace(SPEC, runner="oci"), backend.system)
    assert checked.verdicts[0].reason == "this site allows: podman"
    assert not checked.works


def test_a_podman_that_does_not_start_is_a_fault(backend: BackEnd, registry: ToldRegistry) -> None:
    backend.process.answer("podman image inspect", 1, stderr="Error: broken\n")
    checked = check_for_here(SPEC, backend.system)
    assert levels(checked) == {"engine": "fault"}
    assert checked.others == ["apptainer", "oci"]


def test_a_registry_that_is_not_allowed_is_not_asked(
    backend: BackEnd, registry: ToldRegistry
) -> None:
    spec = replace(SPEC, image=ImageRef.parse("evil.example.org/app:1"))
    checked = check_for_here(spec, backend.system)
    assert not checked.works and checked.others == []
    assert "its registry is not allowed on this back-end" in checked.verdicts[0].reason
    assert registry.asked == []


def test_a_site_that_wants_digests_is_told_which(backend: BackEnd, registry: ToldRegistry) -> None:
    allow(backend, "podman", require_digest=True)
    checked = check_for_here(SPEC, backend.system)
    assert levels(checked) == {"policy": "fault"}
    assert f"write {REGISTRY}/app@{DIGEST}" in checked.verdicts[0].reason
    pinned = replace(SPEC, image=ImageRef.parse(f"{REGISTRY}/app@{DIGEST}"))
    assert check_for_here(pinned, backend.system).works


def test_a_mirror_and_a_proxy_are_told_without_its_password(
    backend: BackEnd, registry: ToldRegistry
) -> None:
    entry = AllowedRegistry(REGISTRY, "mirror.internal/hub")
    allow(backend, "podman", registries=(entry,))
    account = backend.system.account
    environ = {**account.environ, "https_proxy": "http://ada:pa55@proxy.internal:3128"}
    backend.system.account = replace(account, environ=environ)
    checked = check_for_here(SPEC, backend.system)
    assert checked.works and levels(checked) == {"policy": "note"}
    said = " ".join(map(str, checked.verdicts[0].findings))
    assert "it is fetched from mirror.internal/hub/app:1" in said
    assert "mirror.internal is asked by the proxy proxy.internal:3128" in said
    assert "pa55" not in json.dumps(checked.as_dict())
    assert [image for image, _login in registry.asked] == ["mirror.internal/hub/app:1"]


@pytest.mark.parametrize("error", [NotFound, NoVariant])
def test_what_the_registry_does_not_have_will_not_work(
    backend: BackEnd, registry: ToldRegistry, error: type[CesError]
) -> None:
    registry.error = error("use it", said="there is none", hint="check its name")
    checked = check_for_here(SPEC, backend.system)
    assert not checked.works and checked.others == []
    assert checked.verdicts[0].reason == "there is none. check its name"


def test_what_the_registry_has_no_more_runs_where_it_is(
    backend: BackEnd, registry: ToldRegistry
) -> None:
    registry.error = NotFound("use it", said="there is none", hint="check its name")
    backend.has_image(NAME)
    checked = check_for_here(SPEC, backend.system)
    assert checked.works and levels(checked) == {"registry": "warning"}


def test_an_image_that_its_registry_does_not_give_cannot_be_fetched(
    backend: BackEnd, registry: ToldRegistry
) -> None:
    registry.error = Denied("ask", said="it does not accept the user name and token")
    checked = check_for_here(SPEC, backend.system)
    assert not checked.works and levels(checked) == {"login": "fault"}
    backend.has_image(NAME)
    checked = check_for_here(SPEC, backend.system)
    assert checked.works and levels(checked) == {"login": "warning"}


def test_for_another_host_no_engine_is_needed_or_asked(
    backend: BackEnd, registry: ToldRegistry
) -> None:
    for program in (backend.place / "bin").iterdir():
        program.unlink()
    checked = check_for_here(replace(SPEC, elsewhere=True, runner="apptainer"), backend.system)
    assert checked.works and backend.process.commands == []
    registry.config = {**SAID, "config": {**CONFIG, "User": "70000"}}
    checked = check_for_here(replace(SPEC, elsewhere=True, runner="podman"), backend.system)
    assert levels(checked) == {"user": "warning"}


def test_a_login_of_this_hosts_session_refuses_nothing_elsewhere(
    backend: BackEnd, registry: ToldRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """podman login wrote it here; whether the other host has one, too, is not known."""
    stored = backend.place / "run/containers/auth.json"
    stored.parent.mkdir()
    raw = base64.b64encode(b"ada:old").decode()
    stored.write_text(json.dumps({"auths": {REGISTRY: {"auth": raw}}}))
    old = Credentials("ada", "old")

    def described() -> Manifest:
        if registry.asked[-1][1] == old:
            raise Denied("ask", said="it does not accept the user name and token")
        return registry.manifest

    monkeypatch.setattr(registry, "described", described)
    assert not check_for_here(SPEC, backend.system).works
    elsewhere = replace(SPEC, elsewhere=True)
    registry.asked.clear()
    assert check_for_here(elsewhere, backend.system).works
    assert [login for _image, login in registry.asked] == [old, Credentials()]
    # the caller's own is the only one
    registry.asked.clear()
    given = replace(elsewhere, credentials=old)
    assert not check_for_here(given, backend.system).works
    assert len(registry.asked) == 1


def test_a_host_without_a_policy_does_not_speak_for_another(
    backend: BackEnd, registry: ToldRegistry
) -> None:
    allow(backend, "podman", registries=())
    assert levels(check_for_here(SPEC, backend.system)) == {"policy": "fault"}
    with pytest.raises(CesError, match="is not here, or allows no registry"):
        check_for_here(replace(SPEC, elsewhere=True), backend.system)


def test_a_registry_that_says_nothing_is_not_waited_for_long(
    backend: BackEnd, registry: ToldRegistry
) -> None:
    check_for_here(SPEC, backend.system)
    assert registry.patience <= 5


def test_a_registry_that_cannot_be_asked_is_an_error(
    backend: BackEnd, registry: ToldRegistry
) -> None:
    registry.error = CesError("ask the registry", said="it does not answer")
    with pytest.raises(CesError, match="it does not answer"):
        check_for_here(SPEC, backend.system)


@pytest.mark.parametrize(("digest", "level"), [(DIGEST, {}), (OTHER, {"present": "note"})])
def test_an_image_that_is_here_is_told_if_it_is_another(
    backend: BackEnd, registry: ToldRegistry, digest: str, level: dict[str, str]
) -> None:
    backend.has_image(NAME, digest)
    assert levels(check_for_here(SPEC, backend.system)) == level


def test_an_image_that_fits_nowhere_is_told(backend: BackEnd, registry: ToldRegistry) -> None:
    layer = replace(LAYER, size=2**60)
    registry.manifest = replace(registry.manifest, layers=(layer,))
    checked = check_for_here(SPEC, backend.system)
    assert all(levels(checked, name) == {"space": "fault"} for name in ("podman", "oci"))
    assert "container_storage" in {one.role for one in checked.verdicts[0].findings}


@pytest.mark.parametrize(
    ("file", "text", "failing"),
    [
        ("policy.json", "{", ["podman", "oci"]),
        pytest.param(
            "registries.conf",
            "[[broken = ",
            ["podman"],
            marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="nothing here reads TOML"),
        ),
    ],
)
def test_a_file_that_the_engine_cannot_read_is_a_fault(
    backend: BackEnd, registry: ToldRegistry, file: str, text: str, failing: list[str]
) -> None:
    place = backend.home / ".config/containers"
    place.mkdir(parents=True)
    (place / file).write_text(text)
    checked = check_for_here(SPEC, backend.system)
    assert [one.runner for one in checked.verdicts if not one.works] == failing
    assert f"{place}/{file} cannot be read" in checked.verdicts[0].reason


@pytest.mark.parametrize(
    ("name", "level"), [("", "ok"), ("made", "ok"), ("none/made", "fault"), ("file/x", "fault")]
)
def test_a_directory_that_a_pull_cannot_use_is_a_fault(
    backend: BackEnd, registry: ToldRegistry, tmp_path: Path, name: str, level: str
) -> None:
    """As transfer() makes its directory, and none above it."""
    (tmp_path / "file").touch()
    environ = {**backend.system.account.environ, "TMPDIR": f"{tmp_path}/{name}"}
    backend.system.account = replace(backend.system.account, environ=environ)
    checked = check_for_here(SPEC, backend.system)
    assert levels(checked).get("space", "ok") == level
    if level == "fault":
        assert f"{tmp_path}/{name}" in checked.verdicts[0].reason


def test_a_disk_that_does_not_answer_is_passed_over(
    backend: BackEnd, registry: ToldRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: str) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(os, "statvfs", fail)
    assert check_for_here(SPEC, backend.system).works


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff", b"[" * 100_000, b"null"])
def test_a_configuration_that_is_none_is_told(
    backend: BackEnd, registry: ToldRegistry, text: bytes
) -> None:
    registry.config = text
    checked = check_for_here(SPEC, backend.system)
    assert levels(checked) == {"config": "fault"}


def test_an_artifact_is_no_image(backend: BackEnd, registry: ToldRegistry) -> None:
    registry.manifest = replace(registry.manifest, config_form="application/vnd.cncf.helm.config")
    checked = check_for_here(SPEC, backend.system)
    assert levels(checked) == {"artifact": "fault"}
    assert checked.others == ["apptainer"]


def test_an_image_file_is_for_the_engine_of_files_alone(
    backend: BackEnd, registry: ToldRegistry, tmp_path: Path
) -> None:
    allow(backend, "apptainer", "podman", sif_files="any")
    file = make_sif(tmp_path / "a.sif", {"Cmd": ["/bin/app"], "User": "5"}, b"02")
    backend_machine = architecture_of(os.uname().machine)
    checked = check_for_here(CheckSpec(ImageFile(str(file))), backend.system)
    if backend_machine == "amd64":
        assert checked.works
        assert levels(checked, "apptainer") == {"user": "note"}
    assert levels(checked, "podman") == {"engine": "fault"}
    assert registry.asked == []


def test_an_image_file_that_the_site_does_not_allow_will_not_work(
    backend: BackEnd, tmp_path: Path
) -> None:
    allow(backend, "apptainer")
    file = make_sif(tmp_path / "a.sif", {"Cmd": ["/bin/app"]}, b"02")
    checked = check_for_here(CheckSpec(ImageFile(str(file))), backend.system)
    assert not checked.works


@pytest.mark.parametrize("text", [None, b"no image"])
def test_an_image_file_that_is_none_cannot_be_looked_at(
    backend: BackEnd, tmp_path: Path, text: bytes | None
) -> None:
    if text is not None:
        (tmp_path / "a.sif").write_bytes(text)
    with pytest.raises(CesError):
        check_for_here(CheckSpec(ImageFile(f"{tmp_path}/a.sif")), backend.system)
