# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles decide by: facts of a host, from files and programs that look like a host's."""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
import select
import signal
import socket
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.system.host import (
    as_user,
    kernel,
    mounts,
    namespaces,
    packages,
    people,
    podman_databases,
    site_files,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import SystemProcess

ME = pwd.getpwuid(os.geteuid())
TABLE = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /srv rw - autofs systemd-1 rw,fd=47
31 30 0:41 / /srv rw,nosuid - nfs4 server:/srv rw,vers=4.2
40 22 254:1 / /data rw,noexec - xfs /dev/vdb rw
41 22 254:2 / /with\\040space ro - ext4 /dev/vdc ro
"""


@pytest.fixture
def table(tmp_path: Path) -> str:
    file = tmp_path / "mountinfo"
    file.write_text(TABLE)
    return str(file)


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/", "/", "ext4"),
        ("/srv/home/alice", "/srv", "nfs4"),
        ("/srvx", "/", "ext4"),
        ("/data/not/there/yet", "/data", "xfs"),
        ("/with space/x", "/with space", "ext4"),
    ],
)
def test_a_path_lies_on_the_file_system_that_is_mounted_last_above_it(
    table: str, path: str, point: str, kind: str
) -> None:
    mount = mounts.mount_of(path, table)
    assert (mount.point, mount.kind) == (point, kind)


MOUNTS_OF_OUR_OWN, PRIVATE = 0x2_0000, 0x4_4000
"""CLONE_NEWNS of unshare(2); MS_REC and MS_PRIVATE of mount(2)."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_what_users_mounted_goes_and_nothing_that_their_links_lead_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, hosts = tmp_path / "2003", tmp_path / "hosts"
    theirs = [f"{store}/l\u00a0z", f"{store}/a/b", f"{store}/a/b/c", str(store)]
    for directory in (*theirs[:2], f"{hosts}/b"):
        os.makedirs(directory)
    (store / "l").symlink_to(f"{hosts}/b")
    (store / "moved").symlink_to(hosts)
    child = os.fork()
    if child == 0:
        try:
            library = ctypes.CDLL(None)
            failed = library.unshare(MOUNTS_OF_OUR_OWN)
            failed = failed or library.mount(None, b"/", None, PRIVATE, None)
            for point in (f"{hosts}/b", *theirs):
                os.makedirs(point, exist_ok=True)
                failed = failed or library.mount(b"none", point.encode(), b"tmpfs", 0, None)
            # what was at "moved" when the table was read is a link now
            theirs += [f"{store}/l", f"{store}/moved/b"]
            told = [mounts.Mount(at, "fuse.x", ()) for at in theirs]
            monkeypatch.setattr(mounts, "mounts_below", lambda _top: told)
            mounts.detach_fuse(str(tmp_path), "2003")
            left = {one.point for one in mounts.mounts() if one.point.startswith(str(tmp_path))}
            os._exit(2 if failed else int(left != {f"{hosts}/b"}))
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_options_of_a_mount(table: str) -> None:
    assert mounts.mount_of("/data/x", table).options == ("rw", "noexec")


def test_the_nearest_directory(tmp_path: Path) -> None:
    assert mounts.nearest_directory(f"{tmp_path}/a/b/c") == str(tmp_path)
    assert mounts.nearest_directory("no/directory/of-this-name") == ""


def test_settings_of_the_kernel_and_the_files_that_make_them(tmp_path: Path) -> None:
    (tmp_path / "proc/sys/user").mkdir(parents=True)
    (tmp_path / "proc/sys/user/max_net_namespaces").write_text("0\n")
    (tmp_path / "etc/sysctl.d").mkdir(parents=True)
    by = tmp_path / "etc/sysctl.d/90-hard.conf"
    by.write_text("# user.max_net_namespaces = 1\n -user.max_net_namespaces=0\n")
    (tmp_path / "etc/sysctl.d/91-other.conf").write_text("#user.max_net_namespaces = 1\n")
    assert kernel.sysctl("user.max_net_namespaces", str(tmp_path)) == 0
    assert kernel.sysctl("user.max_user_namespaces", str(tmp_path)) is None
    assert kernel.configured_in("user.max_net_namespaces", str(tmp_path)) == [str(by)]


@pytest.mark.parametrize(
    ("files", "version", "controllers"),
    [
        ({"cgroup.controllers": "cpu memory pids\n"}, "v2", ("cpu", "memory", "pids")),
        ({"unified/x": ""}, "hybrid", ()),
        ({"memory/x": ""}, "v1", ()),
    ],
)
def test_versions_of_cgroups(
    tmp_path: Path, files: dict[str, str], version: str, controllers: tuple[str, ...]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert kernel.cgroups(str(tmp_path)) == kernel.Cgroups(version, controllers)


def test_programs_that_map_ids_and_are_not_there(tmp_path: Path) -> None:
    assert namespaces.id_mapper_faults(str(tmp_path)) == [
        f"{tmp_path}/newuidmap is missing",
        f"{tmp_path}/newgidmap is missing",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="the programs belong to root")
def test_programs_that_map_ids_need_their_bit(tmp_path: Path) -> None:
    for name, mode in (("newuidmap", 0o4755), ("newgidmap", 0o755)):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)
    assert namespaces.id_mapper_faults(str(tmp_path)) == [
        f"{tmp_path}/newgidmap is neither setuid root nor has cap_setgid"
    ]


def test_the_device_of_fuse(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert namespaces.fuse_said(f"{tmp_path}/none") == f"{tmp_path}/none is missing"
    assert namespaces.fuse_said(f"{tmp_path}/file") == f"{tmp_path}/file is not a device"
    assert namespaces.fuse_said("/dev/null") == ""


def test_a_directory_is_private_or_not(tmp_path: Path) -> None:
    own = tmp_path / str(ME.pw_uid)
    pattern = f"{tmp_path}/{{uid}}"
    assert people.person(ME, [pattern])["directories_wrong"] == [str(own)]
    own.mkdir(mode=0o700)
    os.chown(own, ME.pw_uid, ME.pw_gid)
    assert people.person(ME, [pattern])["directories_wrong"] == []
    own.chmod(0o755)
    assert people.person(ME, [pattern])["directories_wrong"] == [str(own)]
    own.rmdir()
    own.symlink_to(tmp_path)
    assert people.person(ME, [pattern])["directories_wrong"] == [str(own)]


@pytest.mark.parametrize("hierarchy", ["", "/unified", "/systemd"])
def test_a_session_lasts_if_it_is_to_and_runs_and_has_a_bus(tmp_path: Path, hierarchy: str) -> None:
    """The bus's socket is left by a session that was stopped, and says nothing alone."""
    linger = tmp_path / f"var/lib/systemd/linger/{ME.pw_name}"
    bus = tmp_path / f"run/user/{ME.pw_uid}/bus"
    slices = tmp_path / f"sys/fs/cgroup{hierarchy}/user.slice/user-{ME.pw_uid}.slice"
    systemd = slices / f"user@{ME.pw_uid}.service"
    for path in (linger, bus):
        path.parent.mkdir(parents=True)
        path.touch()
    assert not people.lingers(ME, str(tmp_path)), "it does not run"
    systemd.mkdir(parents=True)
    assert people.lingers(ME, str(tmp_path))
    bus.unlink()
    assert not people.lingers(ME, str(tmp_path))
    bus.symlink_to("/nowhere")
    linger.unlink()
    assert not people.lingers(ME, str(tmp_path)), "nobody asked for it to last"


@pytest.mark.parametrize("name", ["a\nb /c", "\n", "x\n0: 2 0 00010000 1 1 7 /run/user/{uid}/bus"])
def test_no_name_of_a_socket_says_anything_of_a_session(tmp_path: Path, name: str) -> None:
    """Whoever has one: the kernel's table has names as they are, also those of no path."""
    linger = tmp_path / f"var/lib/systemd/linger/{ME.pw_name}"
    linger.parent.mkdir(parents=True)
    linger.touch()
    (tmp_path / "proc").symlink_to("/proc")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{os.getpid()}{name.format(uid=ME.pw_uid)}")
        listening.listen()
        assert not people.lingers(ME, str(tmp_path))


def test_an_account_that_is_none() -> None:
    assert people.account("no-such-user") is None


def test_the_age_of_package_lists(tmp_path: Path) -> None:
    lists = tmp_path / "var/lib/apt/lists"
    lists.mkdir(parents=True)
    assert packages.lists_age(str(tmp_path)) is None
    (lists / "mirror_dists_stable_main_binary-amd64_Packages").write_text("")
    then = time.time() - 5000
    os.utime(lists, (then, then))
    assert 5000 <= there(packages.lists_age(str(tmp_path))) < 5100
    sources = tmp_path / "etc/apt/sources.list.d"
    sources.mkdir(parents=True)
    (sources / "site.sources").write_text("")
    assert packages.lists_age(str(tmp_path)) is None, "the lists have nothing of the new source"
    for path in (sources, sources / "site.sources"):
        os.utime(path, (then - 10, then - 10))
    assert packages.lists_age(str(tmp_path)) is not None


def test_packages_that_are_missing_are_those_that_were_named() -> None:
    wanted = ["no-such-package-1", "dpkg", "rpm-that-is-not-there"]
    missing = packages.missing(SystemProcess(), wanted)
    assert missing[0] == "no-such-package-1"
    assert set(missing) >= {"no-such-package-1", "rpm-that-is-not-there"}
    assert packages.missing(SystemProcess(), []) == []


def database(path: Path, **columns: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        names = ", ".join(columns)
        marks = ", ".join("?" for _name in columns)
        connection.execute(f"CREATE TABLE DBConfig ({names})")
        insert = f"INSERT INTO DBConfig VALUES ({marks})"  # noqa: S608 - marks are question marks
        connection.execute(insert, tuple(columns.values()))
    connection.close()


def recorded(root: Path, **others: str) -> dict[str, str]:
    return {
        "StaticDir": f"{root}/libpod",
        "GraphRoot": str(root),
        "RunRoot": f"/run/user/{ME.pw_uid}/containers",
        "GraphDriver": "overlay",
        "VolumeDir": f"{root}/volumes",
        **others,
    }


def test_a_database_that_says_the_same(tmp_path: Path) -> None:
    database(tmp_path / "db.sql", **recorded(tmp_path))
    assert list(podman_databases.contradictions(str(tmp_path), ME.pw_uid)) == []


def test_a_database_that_says_otherwise(tmp_path: Path) -> None:
    database(tmp_path / "db.sql", **recorded(tmp_path, GraphDriver="vfs"))
    (sentence,) = podman_databases.contradictions(str(tmp_path), ME.pw_uid)
    assert sentence == f"{tmp_path}/db.sql records GraphDriver vfs, the configuration says overlay"


@pytest.mark.parametrize("name", ["db.sql", "libpod/bolt_state.db"])
def test_a_database_that_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x" * 9000)
    (sentence,) = podman_databases.contradictions(str(tmp_path), ME.pw_uid)
    assert f"{tmp_path}/{name} cannot be read" in sentence


def look(never: Callable[[], Iterable[str] | None], seconds: float) -> str:
    """What root hears of a look at a user's files."""
    # a worker of pytest may have more address space already
    memory = resource.RLIM_INFINITY
    looking = as_user.Looking(ME, lambda: {"found": list(never() or ())}, seconds, memory)
    try:
        return str(looking.answer().get("unreadable", ""))
    finally:
        as_user.end_all([looking])


ENDLESS = """CREATE VIEW DBConfig AS
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c WHERE x < 0"""


def endless_view(root: str, uid: int) -> Iterator[str]:
    os.makedirs(root)
    with sqlite3.connect(f"{root}/db.sql") as database:
        database.execute(ENDLESS)
    database.close()
    return podman_databases.contradictions(root, uid)


def bolt_page(number: int, below: int) -> bytes:
    """A page of branches, each of which is the page ``below``."""
    page = struct.pack("<QHHI", number, 1, 200, 0)
    page += struct.pack("<IIQ", 0, 0, below) * 200
    return page.ljust(4096, b"\0")


def bolt(root: Path | str, *pages: bytes) -> None:
    meta = bytearray(4096)
    meta[16:20], meta[32:40] = podman_databases._BOLT_MAGIC, (2).to_bytes(8, "little")
    (Path(root) / "libpod").mkdir(parents=True)
    (Path(root) / "libpod/bolt_state.db").write_bytes(bytes(meta) * 2 + b"".join(pages))


def pages_in_a_circle(root: str, uid: int) -> Iterator[str]:
    bolt(root, *(bolt_page(number, number + 1) for number in range(2, 12)), bytes(4096))
    return podman_databases.contradictions(root, uid)


@pytest.mark.parametrize(
    "never",
    [
        lambda _root, _uid: time.sleep(60),
        lambda _root, _uid: os.kill(os.getpid(), signal.SIGSTOP),
        endless_view,
        pages_in_a_circle,
    ],
    ids=["asleep", "stopped", "a view", "pages"],
)
def test_files_that_never_answer_are_told(tmp_path: Path, never: Callable[..., Any]) -> None:
    said = look(lambda: never(str(tmp_path / "root"), ME.pw_uid), 0.5)
    assert said == "their files did not answer within 0.5 s"


def test_what_reads_a_users_files_fills_no_disk(tmp_path: Path) -> None:
    def fills() -> None:
        (tmp_path / "file").write_bytes(b"x" * 2 * as_user._FILE_MAX)

    assert "File too large" in look(fills, 20)


def test_a_process_that_cannot_be_killed_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for a file system of the user's own, which never answers."""
    killed = []
    monkeypatch.setattr(os, "kill", lambda *words: killed.append(words))
    reader, writer = os.pipe()

    def never() -> None:
        os.close(writer)
        select.select([reader], [], [], 20)

    begin = time.monotonic()
    try:
        said = look(never, 0.1)
        assert time.monotonic() - begin < 8
    finally:
        os.close(reader)
        os.close(writer)
        monkeypatch.undo()
    assert said == "their files did not answer within 0.1 s"
    child, number = killed[-1]
    assert number == signal.SIGKILL
    os.waitpid(child, 0)


def test_pages_that_lead_to_each_other_are_a_database_that_cannot_be_read(tmp_path: Path) -> None:
    bolt(tmp_path, bolt_page(2, 3), bolt_page(3, 2))
    (sentence,) = podman_databases.contradictions(str(tmp_path), ME.pw_uid)
    assert "cannot be read (maximum recursion depth exceeded" in sentence


def test_what_a_site_wrote_into_storage_conf_is_read(tmp_path: Path) -> None:
    file = tmp_path / "storage.conf"
    file.write_text(
        '[storage]\ndriver = "overlay"\ngraphroot = "/srv/containers" # a large disk\n'
        '[storage.options]\nadditionalimagestores = [\n  "/srv/images",\n]\n'
    )
    assert site_files.storage_settings(str(file)) == {
        "storage.driver": '"overlay"',
        "storage.graphroot": '"/srv/containers"',
        "storage.options.additionalimagestores": '[ "/srv/images", ]',
    }
    assert site_files.storage_settings(str(tmp_path / "none")) == {}


@pytest.mark.parametrize(
    ("policy", "demanded"),
    [
        ("", []),
        ('{"default": [{"type": "insecureAcceptAnything"}]}', []),
        ('{"default": [{"type": "reject"}], "transports": {"docker": {}}}', []),
        (
            '{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}],'
            ' "transports": {"docker": {"r.test/x": [{"type": "sigstoreSigned"}],'
            ' "r.test": [{"type": "insecureAcceptAnything"}]},'
            ' "oci": {"": [{"type": "signedBy"}]}}}',
            ["everything else (signedBy)", "r.test/x (sigstoreSigned)", "all of oci (signedBy)"],
        ),
    ],
)
def test_signatures_that_a_policy_demands_are_named(
    tmp_path: Path, policy: str, demanded: list[str]
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(policy)
    assert site_files.demanded_signatures(str(file)) == demanded


@pytest.mark.parametrize("text", ["{", "[]", '{"transports": {"docker": []}}', '{"default": [1]}'])
def test_a_policy_that_cannot_be_read_is_not_written_over_unseen(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.json"
    file.write_text(text)
    (demanded,) = site_files.demanded_signatures(str(file))
    assert "cannot be read" in demanded
