# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacked images and bundles: what is made, kept, lent and removed. No engine runs."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from recording import DIGEST, REGISTRY, BackEnd, OneImageRegistry
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.images import by_digest
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.oci.images import root as bundles
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    Busy,
    CesError,
    InvalidValue,
    NotFound,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import pull as pulling
from ansible_collections.tre.ces.plugins.module_utils.ces.services.images import (
    list_images,
    remove_image,
    store_of,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.make_bundle import (
    Made,
    make_bundle,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.pull import Pulled, pull_image
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import run_container
from ansible_collections.tre.ces.plugins.module_utils.ces.system import trees
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import (
    ImageFile,
    ImageRef,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Credentials,
    Directories,
    PullSpec,
    RunSpec,
)

NAME = f"{REGISTRY}/app:1"
IMAGE = ImageRef.parse(NAME)
SPEC = RunSpec(IMAGE, "oci", env={"TOKEN": "s3cret"}, directories=Directories(project="p1"))
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def config_of_image(**config: Any) -> dict[str, Any]:
    machine = os.uname().machine
    return {"architecture": MACHINES.get(machine, machine), "os": "linux", "config": config}


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@dataclass
class Site(BackEnd):
    """A back-end that has the programs, and a registry whose image has one digest.

    :param image: what the image's configuration says.
    """

    image: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def site(backend: BackEnd, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(pulling, "Registry", OneImageRegistry)
    backend.system.policy = replace(backend.system.policy, runners=("podman", "oci"))
    image = config_of_image(Entrypoint=["/bin/app"], User="ada", Env=["PATH=/bin"])
    site = Site(**vars(backend), image=image)

    def copy(command: Command, _streams: Streams) -> Finished:
        layout = Path(command.argv[-1].split(":")[1])
        for name, content in (
            ("blobs/sha256/c", site.image),
            ("blobs/sha256/m", {"config": {"digest": "sha256:c"}}),
            ("index.json", {"manifests": [{"digest": "sha256:m"}]}),
        ):
            write(layout / name, json.dumps(content))
        return Finished(command.argv, 0)

    def unpack(command: Command, _streams: Streams) -> Finished:
        rootfs = Path(command.argv[-1])
        write(rootfs / "bin/app", "program", 0o4711)
        write(rootfs / "etc/passwd", "ada:x:1000:100::/home/ada:/bin/sh\n", 0o600)
        write(rootfs / "secret/file", "x", 0o600)
        (rootfs / "secret").chmod(0o700)
        (rootfs / "lib").symlink_to("usr/lib")
        write(rootfs / "run.sh", "small")
        return Finished(command.argv, 0)

    backend.process.then("skopeo", copy)
    backend.process.then("umoci", unpack)
    return site


def pull(site: Site, **changes: Any) -> Pulled:
    return pull_image(PullSpec(IMAGE, "oci", **changes), site.system)


def store(site: Site) -> Path:
    return site.home / ".local/share/ces/bundles"


def unpacked(site: Site) -> Path:
    return store(site) / "digests" / DIGEST.replace(":", "-")


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


def test_the_store_for_all_is_used_where_the_user_may(site: Site) -> None:
    shared = site.place / "shared"
    shared.mkdir()
    site.system.policy = replace(site.system.policy, bundle_dir=str(shared))
    assert there(pull(site).image).file == str(shared / "digests" / DIGEST.replace(":", "-"))
    assert not unpacked(site).exists()


@pytest.fixture
def shared(site: Site) -> Path:
    """A store for all."""
    shared = site.place / "shared"
    shared.mkdir()
    site.system.policy = replace(site.system.policy, bundle_dir=str(shared))
    return shared


def test_root_keeps_nothing_where_a_group_may_write(
    site: Site, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_digest, "only_ours", lambda _path: False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(CesError, match="others may write there, and root does nothing"):
        pull(site)
    assert not list(shared.iterdir())


def test_root_keeps_nothing_in_parts_that_a_group_may_still_write(
    site: Site, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(site)
    monkeypatch.setattr(by_digest, "only_ours", lambda path: path != f"{shared}/names")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(CesError, match="chmod -R go-w"):
        pull(site, force=True)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same disk", "another disk"])
def test_an_image_is_made_where_only_its_maker_may_write(
    site: Site, shared: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    monkeypatch.setattr(by_digest, "only_ours", lambda path: path != str(shared))
    monkeypatch.setattr(by_digest.ByDigest, "writable", lambda self: self.stores[0])
    site.process.then("cp", lambda command, _streams: copied(command))
    real, renames = os.rename, []

    def rename(source: str, target: str, **places: int) -> None:
        renames.append(source)
        if elsewhere and "dst_dir_fd" in places and source.startswith("/"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source)
        real(source, target, **places)

    monkeypatch.setattr(os, "rename", rename)
    pulled = pull(site)
    (layout,) = [argv[-1].split(":")[1] for argv in site.process.told("skopeo")]
    assert layout.startswith(f"{store(site)}/ces-")
    assert there(there(pulled.image).file).startswith(f"{shared}/digests/")
    assert (Path(str(there(pulled.image).file)) / "rootfs/bin/app").read_text() == "program"
    assert {path.name for path in shared.iterdir()} == {"digests", "names", "locks"}
    assert not list(store(site).iterdir())
    assert ("whole" in renames) == elsewhere
    pull(site, force=True)
    assert len(list((shared / "digests").iterdir())) == 1


def copied(command: Command) -> Finished:
    subprocess.run(command.argv, check=True)
    return Finished(command.argv, 0)


def test_a_name_that_leads_out_of_its_store_names_nothing(site: Site, shared: Path) -> None:
    pull(site)
    precious = site.place / "precious"
    precious.mkdir()
    (name,) = (shared / "names").iterdir()
    for target in (str(precious), "../../precious"):
        name.unlink()
        name.symlink_to(target)
        with pytest.raises(NotFound):
            remove_image(IMAGE, site.system, "oci")
    assert precious.exists()


def test_a_content_that_is_a_link_is_no_image(site: Site, shared: Path) -> None:
    pull(site)
    (content,) = (shared / "digests").iterdir()
    (content / "rootfs").rename(site.place / "elsewhere")
    (content / "rootfs").symlink_to(site.place / "elsewhere")
    with pytest.raises(CesError, match="is a link"):
        run_container(SPEC, site.system)
    content.rename(site.place / "moved")
    content.symlink_to(site.place / "moved")
    assert list_images(site.system, "oci") == []


def test_an_image_of_a_store_that_cannot_be_read_is_told_and_the_others_are_listed(
    site: Site, shared: Path
) -> None:
    pull(site)
    (name,) = (shared / "names").iterdir()
    bad = "sha256-" + "6" * 64
    (shared / "digests" / bad).mkdir()
    os.mkfifo(shared / "digests" / bad / "image.json")
    (shared / "names" / f"{name.name}0").symlink_to(f"../digests/{bad}")
    (listed,) = list_images(site.system, "oci")
    assert listed.digest == DIGEST
    assert "it is no ordinary file" in site.said[-1]


def test_only_the_group_of_a_store_can_take_its_locks(site: Site, shared: Path) -> None:
    pull(site)
    assert stat.S_IMODE((shared / "locks").stat().st_mode) & 0o007 == 0
    (lock,) = (shared / "locks").iterdir()
    assert stat.S_IMODE(lock.stat().st_mode) == 0o660


def test_who_may_only_read_an_image_keeps_nobody_from_running_it(site: Site) -> None:
    pull(site)
    with (unpacked(site) / "image.json").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert run_container(SPEC, site.system).record.state == "COMPLETED"


def seen_by_crun(site: Site) -> dict[str, Any]:
    """What is there for crun while it runs."""
    seen = {}

    def crun(command: Command, _streams: Streams) -> Finished:
        private = Path(command.argv[-2].partition("=")[2])
        seen["config"] = json.loads((private / "config.json").read_text())
        seen["mode"] = stat.S_IMODE((private / "config.json").stat().st_mode)
        seen["cid"] = (private / "cid").read_text()
        root = Path(seen["config"]["root"]["path"])
        seen["root"] = sorted(path.name for path in root.iterdir())
        layer = seen["config"]["mounts"][0]["options"]
        (upper,) = [word.partition("=")[2] for word in layer if word.startswith("upperdir=")]
        seen["room"], seen["layers"] = Path(upper).parent, sorted(os.listdir(Path(upper).parent))
        seen["private"] = {"root", "hosts"} <= set(os.listdir(private)) and private / "root" == root
        with pytest.raises(Busy, match="a run uses it"):
            remove_image(IMAGE, site.system, "oci")
        return Finished(command.argv, 0)

    site.process.then("crun --root", crun)
    return seen


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


def bundle(site: Site, **more: bool) -> Made:
    directories = Directories(project="p1", outputs=f"{site.home}/out")
    spec = replace(SPEC, directories=directories)
    return make_bundle(spec, str(site.home / "b"), site.system, **more)


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
