# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run costs beside its container: which programs start, how often a thing is settled.

No engine runs: see RecordingProcess. Each number here was larger once.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from recording import DIGEST, REGISTRY, BackEnd, OneImageRegistry
from support import make_sif, there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines import table
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.oci.images import (
    store as bundle_store,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import clean, images, plan, pull
from ansible_collections.tre.ces.plugins.module_utils.ces.services import session as sessions
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import run_container
from ansible_collections.tre.ces.plugins.module_utils.ces.services.session import session
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import (
    Policy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import PullSpec, RunSpec

NAME = f"{REGISTRY}/app:1"
IMAGE = ImageRef.parse(NAME)
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
CONVERSION = "apptainer --silent exec --containall --no-eval --no-mount"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@dataclass
class Site(BackEnd):
    """A back-end with all engines, which fetch what the registry has; no image is here yet."""

    @property
    def listing(self) -> Path:
        """podman's list of its images."""
        return self.place / "storage/overlay-images/images.json"


@pytest.fixture
def site(backend: BackEnd, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(pull, "registry_here", OneImageRegistry)
    engines = ("podman", "apptainer", "oci")
    backend.system.policy = replace(backend.system.policy, runners=engines)
    site = Site(**vars(backend))
    write(site.listing, "[]")
    process = backend.process
    process.answer("podman info --format {{.Store.GraphRoot", stdout=f"{site.listing}\n")

    def fetch(command: Command, _streams: Streams) -> Finished:
        site.listing.write_text("[{}]")
        site.has_image(NAME)
        return Finished(command.argv, 0)

    def convert(command: Command, _streams: Streams) -> Finished:
        make_sif(Path(command.argv[-2]), {"Entrypoint": ["app"]})
        return Finished(command.argv, 0)

    def copy(command: Command, _streams: Streams) -> Finished:
        layout = Path(command.argv[-1].split(":")[1])
        said = {"architecture": MACHINE, "os": "linux", "config": {"Entrypoint": ["/bin/app"]}}
        write(layout / "blobs/sha256/c", json.dumps(said))
        write(layout / "blobs/sha256/m", json.dumps({"config": {"digest": "sha256:c"}}))
        write(layout / "index.json", json.dumps({"manifests": [{"digest": "sha256:m"}]}))
        return Finished(command.argv, 0)

    def unpack(command: Command, _streams: Streams) -> Finished:
        write(Path(command.argv[-1]) / "bin/app", "program")
        return Finished(command.argv, 0)

    process.then("podman pull", fetch)
    process.then(CONVERSION, convert)
    process.then("skopeo", copy)
    process.then("umoci", unpack)
    return site


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each thing is settled."""
    found: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def count(*words: object, **named: object) -> object:
            found[name] += 1
            return function(*words, **named)

        return count

    rows = {
        name: replace(
            runner, run=counted("command", runner.run), store=counted("store", runner.store)
        )
        for name, runner in table.known_runners().items()
    }
    loaders = {name: lambda row=row: row for name, row in rows.items()}
    monkeypatch.setattr(table, "_ROWS", loaders)
    monkeypatch.setattr(Policy, "registry_for", counted("registry", Policy.registry_for))
    usable_runner = counted("engine", plan.usable_runner)
    for module in (plan, pull):
        monkeypatch.setattr(module, "usable_runner", usable_runner)
    monkeypatch.setattr(sessions, "sweep", counted("sweep", clean.sweep))
    config_in = counted("what an oci image says", bundle_store.config_in)
    monkeypatch.setattr(bundle_store, "config_in", config_in)
    return found


def started(site: Site) -> list[str]:
    """The programs that were started, podman's with what they were for."""
    names = []
    for command in site.process.commands:
        words = command.argv
        if words[0] == "podman":
            names.append(" ".join(words[: 3 if words[1] == "image" else 2]))
        else:
            names.append(words[0])
    site.process.commands.clear()
    return names


FIRST = {
    "podman": [
        *("podman info", "podman image inspect"),
        *("podman info", "podman pull", "podman image inspect"),
        "podman run",
    ],
    # its version, to know how it may pack the file
    "apptainer": ["apptainer", "apptainer", "apptainer"],
    "oci": ["skopeo", "umoci", "crun"],
}
REPEATED = {"podman": ["podman run"], "apptainer": ["apptainer"], "oci": ["crun"]}


@pytest.mark.parametrize("engine", sorted(FIRST))
def test_a_run_settles_each_thing_once(site: Site, counts: Counter[str], engine: str) -> None:
    spec = RunSpec(IMAGE, engine)
    things = ["engine", "registry", "store", "command", "sweep"]
    things += ["what an oci image says"] if engine == "oci" else []
    for programs in (FIRST[engine], REPEATED[engine]):
        counts.clear()
        with session(site.system):
            assert run_container(spec, site.system).record.state == "COMPLETED"
        assert started(site) == programs
        assert dict(counts) == dict.fromkeys(things, 1)


def test_a_repeated_pull_by_podman_starts_no_program(site: Site, counts: Counter[str]) -> None:
    spec = PullSpec(IMAGE, "podman")
    first = pull.pull_image(spec, site.system)
    assert first.changed
    counts.clear()
    started(site)
    assert not pull.pull_image(spec, site.system).changed
    assert started(site) == []
    assert dict(counts) == dict.fromkeys(("engine", "registry", "store"), 1)


def test_what_podman_did_not_have_is_asked_again_when_its_storage_changes(site: Site) -> None:
    store = images.store_of("podman", site.system)
    for _again in range(2):
        assert store.find(IMAGE) is None
    assert started(site) == ["podman info", "podman image inspect"]
    # another process has pulled it
    site.listing.write_text("[{}, {}]")
    site.has_image(NAME)
    assert there(store.find(IMAGE)).digest == DIGEST
    assert started(site) == ["podman image inspect"]


def test_where_podmans_list_will_be_is_not_known_podman_is_always_asked(site: Site) -> None:
    site.process.answer("podman info --format {{.Store.GraphRoot", stdout="\n")
    store = images.store_of("podman", site.system)
    for _again in range(2):
        assert store.find(IMAGE) is None
    assert started(site).count("podman image inspect") == 2


def test_what_somebody_fetched_since_we_looked_is_not_fetched_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(OneImageRegistry):
        def check_size(self, _limit: int | None) -> None:
            site.listing.write_text("[{}, {}]")
            site.has_image(NAME)

    monkeypatch.setattr(pull, "registry_here", Slow)
    pulled = pull.pull_image(PullSpec(IMAGE, "podman"), site.system)
    assert (pulled.changed, pulled.digest, pulled.cmd) == (True, DIGEST, ())
    assert site.process.told("podman pull") == []
