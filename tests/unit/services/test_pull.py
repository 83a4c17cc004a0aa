# SPDX-License-Identifier: GPL-3.0-or-later
"""When an image is fetched, and what podman is told then. No engine runs: see RecordingProcess."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from recording import DIGEST, REGISTRY, BackEnd
from support import eventually, there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.images.store import LocalImage
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    Interrupted,
    NotFound,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import pull as module
from ansible_collections.tre.ces.plugins.module_utils.ces.services.images import (
    list_images,
    remove_image,
    store_of,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.pull import pull_image
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import AllowedRegistry
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Credentials,
    PullSpec,
)

NAME = f"{REGISTRY}/app:1"
SPEC = PullSpec(ImageRef.parse(NAME), "podman")
LOGIN = Credentials("ada", "p'a\"s $s`id`")
OLD = "sha256:" + "0" * 64


class AskedRegistry:
    """Answers with one digest, and notes who asked for what; system/registry/ asks truly."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Credentials | None]] = []
        self.large = False

    def __call__(self, image: ImageRef, login: Credentials, *_more: object) -> AskedRegistry:
        self.asked.append((str(image), login))
        return self

    def digest(self) -> str:
        return DIGEST

    def compressed_size(self) -> int:
        return 1

    def check_size(self, _limit: int | None) -> None:
        if self.large:
            raise RefusedByPolicy("pull", said="too large")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> AskedRegistry:
    asked = AskedRegistry()
    monkeypatch.setattr(module, "registry_here", asked)
    return asked


def _fetching(backend: BackEnd) -> None:
    """podman pull puts the image into storage."""

    def fetch(command: Command, _streams: Streams) -> Finished:
        backend.has_image(NAME)
        return Finished(command.argv, 0)

    backend.process.then("podman pull", fetch)


def test_an_image_whose_digest_is_here_is_not_fetched(
    backend: BackEnd, registry: AskedRegistry
) -> None:
    backend.has_image(NAME)
    pulled = pull_image(SPEC, backend.system)
    assert (pulled.changed, pulled.digest, pulled.previous, pulled.cmd) == (
        False,
        DIGEST,
        DIGEST,
        (),
    )
    assert backend.process.told("podman pull") == []
    assert registry.asked == [(NAME, Credentials())]


@pytest.mark.parametrize("old", [None, OLD])
def test_an_image_that_is_missing_or_old_is_fetched_once(
    backend: BackEnd, registry: AskedRegistry, old: str | None
) -> None:
    if old:
        backend.has_image(NAME, old)
    _fetching(backend)
    pulled = pull_image(SPEC, backend.system)
    assert (pulled.changed, pulled.digest, pulled.previous) == (True, DIGEST, old)
    assert backend.process.told("podman pull") == [("podman", "pull", NAME)] == [pulled.cmd]


def test_another_image_than_the_registry_named_is_no_pull_and_goes(
    backend: BackEnd, registry: AskedRegistry
) -> None:
    def fetch(command: Command, _streams: Streams) -> Finished:
        backend.has_image(NAME, OLD)
        return Finished(command.argv, 0)

    backend.process.then("podman pull", fetch)
    with pytest.raises(CesError, match=f"the registry has {DIGEST}, and {OLD} arrived"):
        pull_image(SPEC, backend.system)
    assert backend.process.told("podman rmi") == [("podman", "rmi", NAME)]


def test_force_fetches_what_is_here_and_tells_that_nothing_changed(
    backend: BackEnd, registry: AskedRegistry
) -> None:
    backend.has_image(NAME)
    pulled = pull_image(replace(SPEC, force=True), backend.system)
    assert (pulled.changed, pulled.cmd) == (False, ("podman", "pull", NAME))


@pytest.mark.parametrize(("old", "changed"), [(None, True), (OLD, True), (DIGEST, False)])
def test_checking_only_predicts_and_fetches_nothing(
    backend: BackEnd, registry: AskedRegistry, old: str | None, changed: bool
) -> None:
    if old:
        backend.has_image(NAME, old)
    pulled = pull_image(SPEC, backend.system, check_only=True)
    assert (pulled.changed, pulled.previous) == (changed, old)
    assert list(pulled.cmd) == (["podman", "pull", NAME] if changed else [])
    assert backend.process.told("podman pull") == []


def test_credentials_are_in_a_private_file_and_nowhere_else(
    backend: BackEnd, registry: AskedRegistry
) -> None:
    seen: dict[str, Any] = {}

    def fetch(command: Command, _streams: Streams) -> Finished:
        (option,) = [word for word in command.argv if word.startswith("--authfile=")]
        path = Path(option.partition("=")[2])
        seen["mode"] = stat.S_IMODE(path.stat().st_mode)
        seen["registries"] = sorted(json.loads(path.read_text())["auths"])
        backend.has_image(NAME)
        return Finished(command.argv, 0)

    backend.process.then("podman pull", fetch)
    pulled = pull_image(replace(SPEC, credentials=LOGIN), backend.system)
    assert seen == {"mode": 0o600, "registries": [REGISTRY]}
    assert registry.asked == [(NAME, LOGIN)]
    assert LOGIN.password not in f"{pulled} {backend.process.commands} {backend.said}"
    assert LOGIN.password not in backend.everything_written()
    assert not [name for name in os.listdir(backend.place / "run" / "ces") if "auth" in name]


def test_a_rewritten_registry_is_asked_and_has_the_credentials_too(
    backend: BackEnd, registry: AskedRegistry
) -> None:
    entry = AllowedRegistry(REGISTRY, "mirror.internal/hub")
    backend.system.policy = replace(backend.system.policy, registries=(entry,))
    names = []

    def fetch(command: Command, _streams: Streams) -> Finished:
        path = command.argv[2].partition("=")[2]
        names.extend(sorted(json.loads(Path(path).read_text())["auths"]))
        backend.has_image(NAME)
        return Finished(command.argv, 0)

    backend.process.then("podman pull", fetch)
    pull_image(replace(SPEC, credentials=LOGIN), backend.system)
    assert registry.asked == [("mirror.internal/hub/app:1", LOGIN)]
    assert names == ["mirror.internal", REGISTRY]
    # podman finds the mirror by registries.conf: the image keeps its name
    assert backend.process.told("podman pull")[0][-1] == NAME


def test_a_pull_without_its_engine_names_the_role_that_installs_it(
    backend: BackEnd, registry: AskedRegistry
) -> None:
    (backend.place / "bin/podman").unlink()
    with pytest.raises(CesError, match=r"podman is not installed on this host.*role podman"):
        pull_image(SPEC, backend.system)
    assert registry.asked == []


def test_an_image_elsewhere_is_refused_before_anybody_is_asked(
    backend: BackEnd, registry: AskedRegistry
) -> None:
    elsewhere = replace(SPEC, image=ImageRef.parse("registry.example.org.evil.example/app"))
    with pytest.raises(RefusedByPolicy):
        pull_image(elsewhere, backend.system)
    assert (registry.asked, backend.process.commands) == ([], [])


def test_an_image_that_is_too_large_is_refused_before_it_is_fetched(
    backend: BackEnd, registry: AskedRegistry
) -> None:
    registry.large = True
    with pytest.raises(RefusedByPolicy, match="too large"):
        pull_image(SPEC, backend.system)
    assert backend.process.told("podman pull") == []


@pytest.mark.parametrize(
    ("end", "error", "said"),
    [
        ({"rc": 125, "stderr": "Error: x: unauthorized"}, CesError, "check the user name"),
        ({"rc": 125, "stderr": "write: no space left on device"}, CesError, "ces-rm removes one"),
        ({"rc": 143, "stopped_by": "SIGTERM"}, Interrupted, "stopped by SIGTERM"),
        ({"rc": 0}, CesError, "the image is not there"),
    ],
)
def test_a_pull_that_fails_says_why_and_leaves_no_secret(
    backend: BackEnd,
    registry: AskedRegistry,
    end: dict[str, Any],
    error: type[CesError],
    said: str,
) -> None:
    backend.process.then("podman pull", lambda command, _streams: Finished(command.argv, **end))
    with pytest.raises(error, match=said) as caught:
        pull_image(replace(SPEC, credentials=LOGIN), backend.system)
    assert LOGIN.password not in f"{caught.value} {caught.value.as_result()}"
    assert not [name for name in os.listdir(backend.place / "run" / "ces") if "auth" in name]


def test_of_many_who_ask_at_once_one_fetches_and_the_others_find_it_there(
    backend: BackEnd, registry: AskedRegistry
) -> None:
    def fetch(command: Command, _streams: Streams) -> Finished:
        # the others wait by now: they said so
        eventually(lambda: len(backend.said) >= 4)
        backend.has_image(NAME)
        return Finished(command.argv, 0)

    backend.process.then("podman pull", fetch)
    pulls = []
    threads = [
        threading.Thread(target=lambda: pulls.append(pull_image(SPEC, backend.system)))
        for _count in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [pulled.changed for pulled in pulls] == [True] * 5
    assert len(backend.process.told("podman pull")) == 1
    assert all("waiting for that" in line for line in backend.said)


# --- podman's storage ---


def test_podman_is_asked_once_until_its_storage_changes(backend: BackEnd) -> None:
    listing = backend.place / "images.json"
    listing.write_text("[]")
    backend.process.answer("podman info", stdout=f"{listing}\n")
    backend.has_image(NAME)

    def find() -> LocalImage:
        return there(store_of("podman", backend.system).find(SPEC.image))

    asked = "podman image inspect"
    first = find()
    assert first.digest == DIGEST
    assert find() == first
    # written anew with nothing new, as by a pull of an unchanged image
    again = backend.place / "again"
    again.write_text("[]")
    again.replace(listing)
    assert [find(), find()] == [first, first]
    assert len(backend.process.told(asked)) == 1
    backend.has_image(NAME, OLD)
    listing.write_text("[{}]")
    assert find().digest == OLD
    assert len(backend.process.told(asked)) == 2
    store_of("podman", backend.system).forget()
    find()
    assert len(backend.process.told(asked)) == 3


OTHER = f"{REGISTRY}/other:1"


@pytest.fixture
def storage(backend: BackEnd) -> Path:
    """podman's directory, with its list of images."""
    listing = backend.place / "storage/overlay-images/images.json"
    listing.parent.mkdir(parents=True)
    listing.write_text("[]")
    backend.process.answer("podman info --format {{.Store.GraphRoot", stdout=f"{listing}\n")
    return backend.place / "storage"


def _one_image(
    backend: BackEnd,
    digests: list[str],
    names: tuple[str, ...] = (NAME, OTHER),
    created: str | None = "",
) -> None:
    """podman has one image; it says each digest with each repository, as podman does."""
    repositories = {name.rpartition(":")[0] for name in names}
    every = [f"{name}@{digest}" for digest in digests for name in sorted(repositories)]
    raw = {"id": f"sha256:{'a' * 64}", "digest": digests[0], "digests": every, "size": 5}
    raw |= {"names": list(names), "created": created, "architecture": "amd64", "os": "linux"}
    backend.process.answer("podman image inspect", stdout=json.dumps(raw))
    listed = {"Id": "a" * 64, "Names": list(names), "Digest": digests[0], "RepoDigests": every}
    backend.process.answer("podman images", stdout=json.dumps([listed]))


def test_an_image_that_does_not_say_when_it_was_made_is_one(
    backend: BackEnd, storage: Path
) -> None:
    """podman answers null then."""
    _one_image(backend, [DIGEST], created=None)
    assert there(store_of("podman", backend.system).find(SPEC.image)).created == ""


def test_each_name_keeps_the_digest_that_its_registry_said(
    backend: BackEnd, registry: AskedRegistry, storage: Path
) -> None:
    _one_image(backend, [OLD])
    (storage / "ces-digests.json").write_text(json.dumps({OTHER: OLD}))

    def fetch(command: Command, _streams: Streams) -> Finished:
        _one_image(backend, [OLD, DIGEST])
        return Finished(command.argv, 0)

    backend.process.then("podman pull", fetch)
    pulled = pull_image(SPEC, backend.system)
    assert (pulled.changed, pulled.digest) == (True, DIGEST)
    store = store_of("podman", backend.system)
    for name, digest in ((NAME, DIGEST), (OTHER, OLD), (f"{REGISTRY}/other@{DIGEST}", DIGEST)):
        image = ImageRef.parse(name)
        assert there(store.find(image)).digest_of(image) == digest
    assert {i.names: i.digest for i in list_images(backend.system)} == {
        (NAME,): DIGEST,
        (OTHER,): OLD,
    }
    assert not pull_image(SPEC, backend.system).changed


def test_a_digest_that_podman_does_not_know_any_more_does_not_count(
    backend: BackEnd, storage: Path
) -> None:
    (storage / "ces-digests.json").write_text(json.dumps({NAME: DIGEST}))
    _one_image(backend, [OLD])
    found = store_of("podman", backend.system).find(SPEC.image)
    assert there(found).digest_of(SPEC.image) == OLD


def test_an_image_that_was_pulled_before_gets_its_digest_by_the_next_pull(
    backend: BackEnd, registry: AskedRegistry, storage: Path
) -> None:
    _one_image(backend, [OLD, DIGEST])
    store = store_of("podman", backend.system)
    assert there(store.find(SPEC.image)).digest_of(SPEC.image) == OLD
    before = backend.files()
    assert not pull_image(SPEC, backend.system, check_only=True).changed
    assert backend.files() == before
    assert not pull_image(SPEC, backend.system).changed
    assert there(store.find(SPEC.image)).digest_of(SPEC.image) == DIGEST
    assert backend.process.told("podman pull") == []


def test_a_removed_name_keeps_nothing(
    backend: BackEnd, registry: AskedRegistry, storage: Path
) -> None:
    _one_image(backend, [DIGEST])
    pull_image(SPEC, backend.system)
    assert json.loads((storage / "ces-digests.json").read_text()) == {NAME: DIGEST}
    remove_image(SPEC.image, backend.system)
    assert json.loads((storage / "ces-digests.json").read_text()) == {}


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"x": 5}'])
def test_damaged_digests_are_no_obstacle(
    backend: BackEnd, registry: AskedRegistry, storage: Path, kept: str
) -> None:
    (storage / "ces-digests.json").write_text(kept)
    _one_image(backend, [DIGEST])
    assert not pull_image(SPEC, backend.system).changed
    assert json.loads((storage / "ces-digests.json").read_text()) == {NAME: DIGEST}


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", "null", '{"images": []}', '{"images": {"x": 5}, "list": 5}']
)
def test_damaged_answers_are_no_obstacle(backend: BackEnd, kept: str) -> None:
    (backend.place / "run" / "ces").mkdir()
    (backend.place / "run" / "ces" / "images.json").write_text(kept)
    backend.has_image(NAME)
    assert there(store_of("podman", backend.system).find(SPEC.image)).digest == DIGEST


def test_a_storage_that_does_not_answer_is_an_error_and_not_a_missing_image(
    backend: BackEnd,
) -> None:
    backend.process.answer("podman image inspect", 125, stderr="Error: database is locked")
    with pytest.raises(CesError, match="database is locked"):
        store_of("podman", backend.system).find(SPEC.image)


def test_a_podman_that_cannot_start_is_named_with_the_cure(
    backend: BackEnd, registry: AskedRegistry
) -> None:
    said = "Failed to obtain podman configuration: decode /home/ada/containers.conf: toml: line 2\n"
    backend.process.answer("podman info", 1, stderr=said)
    with pytest.raises(CesError) as error:
        pull_image(replace(SPEC, force=True), backend.system)
    assert str(error.value).startswith("could not ask podman where it keeps images: Failed to")
    assert "correct the file that it names" in error.value.hint
    assert error.value.rc == 1


def test_images_without_a_name_are_not_listed(backend: BackEnd) -> None:
    listing = [
        {"Id": "1", "Names": [NAME], "Digest": DIGEST, "Size": 5, "CreatedAt": "now"},
        {"Id": "2", "Names": None},
    ]
    backend.process.answer("podman images", stdout=json.dumps(listing))
    (image,) = list_images(backend.system)
    assert (image.id, image.names, image.digest, image.size) == ("1", (NAME,), DIGEST, 5)


def test_an_image_is_removed_by_name_or_not_found(backend: BackEnd) -> None:
    with pytest.raises(NotFound, match="it is not in your storage"):
        remove_image(SPEC.image, backend.system)
    backend.has_image(NAME)
    assert remove_image(SPEC.image, backend.system) == ["podman"]
    assert backend.process.told("podman rmi") == [("podman", "rmi", NAME)]
