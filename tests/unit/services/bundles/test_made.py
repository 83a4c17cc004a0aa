# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: what is made for a run or to stay, lent and removed. No engine runs."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from oci_site import IMAGE, SPEC, Site, bundle, pull, seen_by_crun, store, unpacked, write
from recording import DIGEST, REGISTRY

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.oci.images import root as bundles
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    InvalidValue,
    NotFound,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.images import (
    remove_image,
    store_of,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.pull import pull_image
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import run_container
from ansible_collections.tre.ces.plugins.module_utils.ces.system import trees
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import (
    ImageFile,
    ImageRef,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    PullSpec,
)


def test_a_run_has_a_bundle_of_its_own_and_leaves_the_image_as_it_is(site: Site) -> None:
    pull(site)
    before = sorted(str(path) for path in unpacked(site).rglob("*"))
    seen = seen_by_crun(site)
    ran = run_container(SPEC, site.system)
    assert (ran.record.state, ran.record.rc) == ("COMPLETED", 0)
    assert seen["cid"] == "ces-run-1"
    assert seen["mode"] == 0o600
    places = {"proc", "sys", "dev", "safe_data", "safe_outputs", "scratch"}
    assert places < set(seen["root"]) and "lib" in seen["root"]
    assert (seen["private"], seen["layers"]) == (True, ["upper", "work"])
    assert seen["room"].parent == store(site)
    assert seen["config"]["process"]["user"] == {"uid": 1000, "gid": 100}
    assert "TOKEN=s3cret" in seen["config"]["process"]["env"]
    assert not seen["room"].exists()
    assert not list((site.place / "run/ces").glob("run-*"))
    assert sorted(str(path) for path in unpacked(site).rglob("*")) == before
    assert "s3cret" not in site.everything_written()
    assert site.process.told("crun --root=") == [tuple(ran.record.command)]


def test_in_an_image_of_another_user_new_files_can_be_made(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(site)
    (unpacked(site) / "rootfs/var/tmp").mkdir(parents=True)
    (unpacked(site) / "rootfs/var/tmp").chmod(0o1777)
    seen = {}

    def crun(command: Command, _streams: Streams) -> Finished:
        (room,) = store(site).glob("ces-*")
        upper = room / "upper"
        seen.update({str(p.relative_to(upper)): p.stat().st_mode for p in upper.rglob("*")})
        return Finished(command.argv, 0)

    site.process.then("crun --root", crun)
    run_container(SPEC, site.system)
    assert seen == {}
    monkeypatch.setattr(bundles, "_is_ours", lambda _path: False)
    run_container(SPEC, site.system)
    assert set(seen) == {"bin", "etc", "secret", "var", "var/tmp"}
    assert stat.S_IMODE(seen["var/tmp"]) == 0o1777


def test_a_container_that_does_not_end_well_is_removed_before_its_files(site: Site) -> None:
    pull(site)
    rooms = []

    def crun(command: Command, _streams: Streams) -> Finished:
        if "run" in command.argv:
            return Finished(command.argv, 143, stopped_by="SIGTERM")
        rooms.append([path.name for path in store(site).glob("ces-*")])
        return Finished(command.argv, 0)

    site.process.then("crun", crun)
    assert run_container(SPEC, site.system).record.state == "CANCELLED"
    assert len(rooms[0]) == 1
    assert not list(store(site).glob("ces-*"))


def test_what_crun_writes_aside_is_the_reason(site: Site) -> None:
    pull(site)

    def crun(command: Command, _streams: Streams) -> Finished:
        private = Path(command.argv[-2].partition("=")[2])
        said = {"msg": "executable file `x` not found in $PATH", "level": "error"}
        (private / "aside").write_text(json.dumps(said, separators=(",", ":")) + "\n")
        return Finished(command.argv, 1, stderr="the container's own\n")

    site.process.then("crun --root", crun)
    record = run_container(SPEC, site.system).record
    assert (record.state, record.rc) == ("FAILED", 127)
    assert "crun: executable file `x` not found" in record.reason


def test_an_image_is_removed_with_its_last_name(site: Site) -> None:
    pull(site)
    other = ImageRef.parse(f"{REGISTRY}/app:2")
    pull_image(PullSpec(other, "oci"), site.system)
    assert remove_image(IMAGE, site.system) == ["oci"]
    assert unpacked(site).exists()
    remove_image(other, site.system, "oci")
    assert not unpacked(site).exists()
    with pytest.raises(NotFound):
        remove_image(other, site.system, "oci")


def test_a_file_is_no_image_of_this_runner(site: Site) -> None:
    with pytest.raises(InvalidValue, match="it is a file"):
        store_of("oci", site.system).open_file(ImageFile("/x.sif"))


def test_a_bundle_that_stays_is_made_once(site: Site) -> None:
    assert bundle(site, check_only=True).changed
    assert not (site.home / "b").exists()
    made = bundle(site)
    config = json.loads((site.home / "b/config.json").read_text())
    assert made.changed
    assert config["root"] == {"path": str(site.home / "b/root"), "readonly": True}
    places = {mount["destination"]: mount["source"] for mount in config["mounts"]}
    assert places["/safe_outputs"] == str(site.home / "out")
    assert "/scratch" not in places
    assert places["/bin"] == str(unpacked(site) / "rootfs/bin")
    assert os.readlink(site.home / "b/root/lib") == "usr/lib"
    assert stat.S_IMODE((site.home / "b").stat().st_mode) == 0o700
    before = site.files()
    assert not bundle(site).changed
    assert not bundle(site, check_only=True).changed
    assert site.files() == before


def really(command: Command, _streams: Streams) -> Finished:
    done = subprocess.run(command.argv, capture_output=True, text=True, check=False)
    return Finished(command.argv, done.returncode, done.stdout, done.stderr)


def test_directories_that_are_in_each_other_a_thousand_times_are_copied(site: Site) -> None:
    bundle(site)
    here = os.open(unpacked(site) / "rootfs", os.O_RDONLY)
    for _depth in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    site.process.then("cp --archive", really)
    try:
        assert bundle(site, copy=True).changed
        assert os.path.isdir(f"{site.home}/b/rootfs" + "/d" * 1200)
    finally:  # pytest would not be able to
        for deep in (f"{site.home}/b", str(unpacked(site))):
            trees.remove(deep)


def test_a_bundle_is_made_anew_when_it_would_be_another(site: Site) -> None:
    bundle(site)
    site.process.then("cp --archive", really)
    made = bundle(site, copy=True)
    assert made.changed
    assert made.before == made.after == f"{REGISTRY}/app@{DIGEST}"
    config = json.loads((site.home / "b/config.json").read_text())
    places = {mount["destination"]: mount["source"] for mount in config["mounts"]}
    assert places["/bin"] == str(site.home / "b/rootfs/bin")
    assert (site.home / "b/rootfs/bin/app").read_text() == "program"
    assert sorted(path.name for path in site.home.glob("b*")) == ["b"]


def test_something_else_is_never_replaced_by_a_bundle(site: Site) -> None:
    write(site.home / "b/config.json", "{}")
    with pytest.raises(CesError, match="ces-bundle did not make"):
        bundle(site)
    assert (site.home / "b/config.json").read_text() == "{}"
