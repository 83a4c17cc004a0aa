# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacked images: what a pull makes and refuses. No engine runs."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oci_site import (
    IMAGE,
    NAME,
    SPEC,
    Site,
    bundle,
    config_of_image,
    pull,
    seen_by_crun,
    store,
    unpacked,
    write,
)
from recording import DIGEST
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.oci.images import root as bundles
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.images import (
    list_images,
    remove_image,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.make_bundle import (
    make_bundle,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import run_container
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Credentials,
)


def test_a_pull_unpacks_the_image_and_names_it(site: Site) -> None:
    pulled = pull(site)
    assert (pulled.changed, there(pulled.image).digest) == (True, DIGEST)
    assert there(pulled.image).file == str(unpacked(site))
    assert [image.names for image in list_images(site.system, "oci")] == [(NAME,)]
    assert {path.name for path in unpacked(site).iterdir()} == {"rootfs", "image.json"}
    assert {path.name for path in store(site).iterdir()} == {"digests", "names", "locks"}


def test_everybody_can_read_the_files_and_nobody_gains_rights_by_them(site: Site) -> None:
    pull(site)
    modes = {
        name: stat.S_IMODE((unpacked(site) / "rootfs" / name).stat().st_mode)
        for name in ("bin/app", "secret", "secret/file", "etc/passwd")
    }
    wanted = {"bin/app": 0o755, "secret": 0o755, "secret/file": 0o644, "etc/passwd": 0o644}
    assert modes == wanted


def test_there_are_files_over_which_a_containers_own_are_mounted(site: Site) -> None:
    def unpack(command: Command, _streams: Streams) -> Finished:
        etc = Path(command.argv[-1]) / "etc"
        write(etc / "hosts", "the image's own")
        (etc / "resolv.conf").symlink_to("/etc/passwd")
        return Finished(command.argv, 0)

    site.process.then("umoci", unpack)
    site.image["config"]["User"] = ""
    pull(site)
    etc = unpacked(site) / "rootfs/etc"
    assert (etc / "hosts").read_text() == "the image's own"
    assert (etc / "resolv.conf").lstat().st_size == 0


def test_a_second_pull_transfers_nothing(site: Site) -> None:
    pull(site)
    assert not pull(site).changed
    assert len(site.process.told("skopeo")) == 1


def test_a_forced_pull_replaces_what_is_there(site: Site) -> None:
    pull(site)
    (unpacked(site) / "rootfs/bin/app").write_text("damaged")
    pull(site, force=True)
    assert (unpacked(site) / "rootfs/bin/app").read_text() == "program"
    assert {path.name for path in store(site).iterdir()} == {"digests", "names", "locks"}


@pytest.mark.parametrize("damage", ["", "[]", None], ids=["empty", "other", "gone"])
def test_a_damaged_image_is_fetched_again_or_removed(site: Site, damage: str | None) -> None:
    for mend in ("pull", "remove"):
        pull(site)
        (said,) = site.home.glob(".local/share/ces/bundles/digests/*/image.json")
        said.unlink()
        if damage is not None:
            said.write_text(damage)
        site.said.clear()
        assert list_images(site.system, "oci") == []
        assert [line for line in site.said if "warning: could not use the image" in line]
        with pytest.raises(CesError, match="pull the image again"):
            run_container(SPEC, site.system)
        if mend == "pull":
            assert pull(site).changed
            assert len(list_images(site.system, "oci")) == 1
        else:
            remove_image(IMAGE, site.system, "oci")
            assert not said.parent.exists()


def test_credentials_go_by_file_and_are_gone(site: Site) -> None:
    pull(site, credentials=Credentials("ada", "s3cret"))
    (argv,) = site.process.told("skopeo")
    (authfile,) = [word for word in argv if word.startswith("--authfile=")]
    assert not os.path.exists(authfile.partition("=")[2])
    assert "s3cret" not in site.everything_written() + repr(site.process.commands)


@pytest.mark.parametrize("program", ["skopeo", "umoci"])
def test_what_fails_leaves_nothing(site: Site, program: str) -> None:
    site.process.answer(program, 1, stderr="no space left on device")
    with pytest.raises(CesError, match="free some space"):
        pull(site)
    assert {path.name for path in store(site).iterdir()} == {"digests", "names", "locks"}
    assert not list((store(site) / "digests").iterdir())


def test_what_arrives_counts_and_not_what_a_manifest_says(site: Site) -> None:
    site.system.policy = replace(site.system.policy, image_size_limit=50)
    with pytest.raises(RefusedByPolicy, match="more than 50 bytes arrived"):
        pull(site)
    assert not list((store(site) / "digests").iterdir())


def test_a_program_that_is_not_there_is_named(site: Site) -> None:
    (site.place / "bin/umoci").unlink()
    with pytest.raises(CesError, match=r"umoci is not installed.*role oci"):
        pull(site)


def test_an_image_for_another_processor_is_refused(site: Site) -> None:
    site.image["architecture"] = "s390x"
    with pytest.raises(CesError, match="it is for s390x"):
        pull(site)


UNKNOWN = r"its user 'nobody-here' is not in its own .*\(--user=0\)"


def test_a_user_that_the_image_does_not_have_is_told_by_the_pull_and_refused_by_the_run(
    site: Site,
) -> None:
    site.image["config"]["User"] = "nobody-here"
    told: list[str] = []
    site.system.tell = told.append
    pull(site)
    assert [line for line in told if "'nobody-here', is not in its own" in line]
    with pytest.raises(CesError, match=UNKNOWN):
        run_container(SPEC, site.system)
    assert site.process.told("crun --root") == []
    with pytest.raises(CesError, match=UNKNOWN):
        make_bundle(SPEC, str(site.home / "b"), site.system)


@pytest.mark.parametrize(
    ("option", "ids", "home"),
    [
        ("--user=0", (0, 0), "/work"),
        ("--user=1000", (1000, 100), "/home/ada"),
        ("--user=1000:7", (1000, 7), "/home/ada"),
        ("--user=5:6", (5, 6), "/work"),
    ],
)
def test_a_user_of_the_callers_is_looked_up_as_podman_does(
    site: Site, option: str, ids: tuple[int, ...], home: str
) -> None:
    site.image["config"] |= {"User": "nobody-here", "WorkingDir": "/work"}
    pull(site)
    seen = seen_by_crun(site)
    run_container(replace(SPEC, options=[option]), site.system)
    process = seen["config"]["process"]
    assert (process["user"]["uid"], process["user"]["gid"]) == ids
    assert f"HOME={home}" in process["env"]


def test_a_layout_of_another_form_is_told(site: Site) -> None:
    site.process.answer("skopeo", 0)
    with pytest.raises(CesError, match=r"index\.json"):
        pull(site)


def test_a_link_in_an_image_leads_to_no_file_of_the_host(site: Site) -> None:
    def unpack(command: Command, _streams: Streams) -> Finished:
        rootfs = Path(command.argv[-1])
        (rootfs / "etc").mkdir(parents=True)
        (rootfs / "etc/passwd").symlink_to("/etc/passwd")
        return Finished(command.argv, 0)

    site.process.then("umoci", unpack)
    site.image["config"]["User"] = "root"
    pull(site)
    with pytest.raises(CesError, match="its user 'root' is not in its own"):
        run_container(SPEC, site.system)


def with_files(site: Site, *more: Callable[..., Any]) -> None:
    """An image that has passwd as nix makes it, and what else these do with its root."""

    def unpack(command: Command, _streams: Streams) -> Finished:
        rootfs = Path(command.argv[-1])
        write(rootfs / "store/x/passwd", "ada:x:1000:100::/home/ada:/bin/sh\n")
        (rootfs / "etc").mkdir()
        (rootfs / "etc/passwd").symlink_to("/store/current/passwd")
        (rootfs / "store/current").symlink_to("../../store/./x")
        for make in more:
            make(rootfs)
        return Finished(command.argv, 0)

    site.process.then("umoci", unpack)


def test_a_link_in_an_image_leads_to_where_it_leads_in_a_container(site: Site) -> None:
    with_files(site)
    pull(site)
    assert json.loads((unpacked(site) / "image.json").read_text())["uid"] == 1000


def test_links_in_a_circle_lead_nowhere(site: Site) -> None:
    with_files(site, lambda rootfs: (rootfs / "etc/group").symlink_to("group"))
    site.image["config"]["User"] = "ada:lab"
    pull(site)
    with pytest.raises(CesError, match="its user 'ada:lab' is not in its own"):
        run_container(SPEC, site.system)


def test_directories_that_an_image_names_and_has_not_are_made(site: Site) -> None:
    def more(rootfs: Path) -> None:
        write(rootfs / "file", "x")
        (rootfs / "link").symlink_to("/store/x")

    with_files(site, more)
    volumes: dict[str, Any] = {"/data/deep": {}, "/link/cache": {}, "/file/x": {}}
    site.image = config_of_image(Entrypoint=["x"], WorkingDir="/work/here", Volumes=volumes)
    before = os.umask(0o077)
    try:
        pull(site)
    finally:
        os.umask(before)
    rootfs = unpacked(site) / "rootfs"
    for path in ("work/here", "data", "data/deep", "store/x/cache"):
        assert stat.S_IMODE((rootfs / path).stat().st_mode) == 0o755
    assert (rootfs / "file").read_text() == "x"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"WorkingDir": "/a" * 60_000}, "name 60000 directories, and at most 1000 are made"),
        ({"WorkingDir": f"/{'a' * 60_000}"}, "File name too long"),
        ({"WorkingDir": "/link"}, "more than 1000 directories"),
        ({"Volumes": {f"/{n}{'/a' * 1500}": {} for n in range(100)}}, "at most 1000"),
    ],
    ids=["one path", "one name", "links", "many"],
)
def test_directories_that_an_image_names_take_no_time_and_no_room(
    site: Site, config: dict[str, Any], said: str
) -> None:
    """They took three quarters of a minute each, in which no signal was heard."""
    with_files(site, lambda rootfs: (rootfs / "link").symlink_to("a/" * 1500))
    site.image = config_of_image(Entrypoint=["x"], **config)
    begin = time.monotonic()
    with pytest.raises(CesError, match=said):
        pull(site)
    assert time.monotonic() - begin < 8


def test_a_volume_can_be_written_to_where_the_root_cannot(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = ("/data", "/safe_outputs/x", "/tmp/x", "/lib")  # noqa: S108
    site.image["config"]["Volumes"] = {path: {} for path in volumes}
    pull(site)
    seen = {}

    def crun(command: Command, _streams: Streams) -> Finished:
        private = Path(command.argv[-2].partition("=")[2])
        mounts = json.loads((private / "config.json").read_text())["mounts"]
        seen["copied"] = [m["destination"] for m in mounts if "tmpcopyup" in m["options"]]
        return Finished(command.argv, 0)

    site.process.then("crun --root", crun)
    run_container(SPEC, site.system)
    assert seen["copied"] == []
    run_container(replace(SPEC, options=("--read-only",)), site.system)
    assert seen["copied"] == ["/data"]
    monkeypatch.setattr(bundles, "_is_ours", lambda _path: False)
    run_container(SPEC, site.system)
    assert seen["copied"] == ["/data"]
    bundle(site)
    config = json.loads((site.home / "b/config.json").read_text())
    assert [m["destination"] for m in config["mounts"] if "tmpcopyup" in m["options"]] == ["/data"]
