# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a user's directories; and how it is found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from recording import RecordingProcess
from support import as_ordinary_user
from telling import POLICY, only, told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.places import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import (
    NAMES,
    known_runners,
    runner_named,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.mounts import Mount
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.places import (
    Place,
    Places,
    look_at_place,
    look_at_places,
)

ROOT = Path(__file__).resolve().parents[3]
DISK = Mount("/srv", "ext4", ("rw", "relatime"))
PLACE = Place("/srv/ada", True, 1001, DISK, 50 << 30, 1_000_000)
KINDS = ("home", "records", "storage", "data", "files", "temporary", "cache", "building")
GOOD = Places("ada", 1001, dict.fromkeys(KINDS, PLACE))


def of_engines(account: Account, names: Sequence[str]) -> dict[str, str]:
    """What these engines say of their directories, on a host without configuration."""
    found: dict[str, str] = {}
    for runner in known_runners(names).values():
        found.update(runner.places()(account, account.home))
    return found


def with_one(what: str, **changes: Any) -> Places:
    return replace(GOOD, places={**GOOD.places, what: replace(PLACE, **changes)})


def on(kind: str, *options: str) -> Mount:
    return Mount("/mnt", kind, options)


def test_good_places_are_well() -> None:
    assert told(LOOKS, GOOD) == []
    assert told(LOOKS, Places("ada", 1001, {"home": PLACE, "records": PLACE})) == []


@pytest.mark.parametrize(
    ("what", "changes", "check", "level", "part"),
    [
        ("storage", {"mount": on("nfs4")}, "storage_file_system", "fault", "nfs4 (mounted at /mnt"),
        ("data", {"mount": on("lustre")}, "storage_file_system", "warning", "bundles"),
        ("building", {"mount": on("nfs")}, "storage_file_system", "warning", "apptainer's"),
        ("storage", {"mount": on("overlay")}, "storage_overlay", "fault", "no overlay"),
        ("data", {"mount": on("xfs", "noexec")}, "storage_flags", "warning", "bundles"),
        ("home", {"refused": "Disk quota exceeded"}, "writable", "fault", "larger quota"),
        ("records", {"refused": "No space left on device"}, "writable", "fault", "no run can"),
        ("storage", {"refused": "Read-only file system"}, "writable", "fault", "read-write"),
        ("temporary", {"refused": "Permission denied"}, "writable", "fault", "podman cannot pull"),
        ("home", {"there": False}, "home", "fault", "/srv/ada does not exist"),
        ("home", {"mount": on("xfs", "noexec")}, "storage_flags", "warning", "/scratch"),
        ("storage", {"owner": 0}, "owner", "fault", "belongs to uid 0"),
        ("home", {"free": 1 << 20}, "home", "warning", "1MiB left"),
        ("storage", {"free": 512 << 20}, "room", "warning", "512MiB left"),
        ("temporary", {"free": 1 << 20}, "room", "fault", "1MiB left"),
        ("files", {"free": 1 << 20}, "room", "fault", "image files"),
        ("data", {"files": 12}, "room", "warning", "12 more files"),
        ("temporary", {"there": False}, "temporary", "fault", "does not exist"),
        (
            "storage",
            {"there": False, "refused": "Permission denied"},
            "writable",
            "fault",
            "cannot make podman's storage /srv/ada (Permission denied): podman can neither pull nor"
            " run. the administrator adds ada to ces_users",
        ),
        # one cause is told once
        (
            "building",
            {"there": False, "refused": "Permission denied"},
            "temporary",
            "fault",
            "does not exist",
        ),
    ],
)
def test_what_is_wrong_is_told(
    what: str, changes: dict[str, Any], check: str, level: str, part: str
) -> None:
    only(LOOKS, with_one(what, **changes), check, level, part)


def test_an_overlay_runs_programs_of_a_storage_that_is_noexec() -> None:
    assert told(LOOKS, with_one("storage", mount=on("xfs", "noexec"))) == []


def test_without_the_kernels_overlay_fuse_helps() -> None:
    ill = replace(GOOD, overlay={"storage": "mount: wrong fs type"}, fuse_overlay=False)
    only(LOOKS, ill, "storage_overlay", "fault", "wrong fs type")
    only(LOOKS, replace(ill, fuse_overlay=True), "storage_overlay", "note", "slower")


def test_a_place_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    found = look_at_place(f"{tmp_path}/not/there")
    assert (found.there, found.owner, found.refused) == (False, os.geteuid(), "")
    assert found.free > 0
    assert list(tmp_path.iterdir()) == []


def test_where_the_user_may_not_write_is_said() -> None:
    def look(place: Path) -> None:
        place.chmod(0o500)
        assert look_at_place(str(place)).refused == "Permission denied"
        place.chmod(0o700)

    as_ordinary_user(look)


def test_only_what_the_sites_engines_need_is_looked_at(tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin", "TMPDIR": f"{tmp_path}/passing"}
    environ["XDG_DATA_HOME"] = f"{tmp_path}/data"
    account = Account("ada", os.geteuid() or 7, str(tmp_path), (), environ)
    process = RecordingProcess()
    process.answer("unshare", 32, stderr="mount: wrong fs type\n")
    found = look_at_places(account, process, of_engines(account, POLICY.runners), ["storage"])
    assert {what: place.path for what, place in found.places.items()} == {
        "home": str(tmp_path),
        "records": f"{tmp_path}/.local/state/ces",
        "storage": f"{tmp_path}/data/containers/storage",
        "temporary": f"{tmp_path}/passing",
        "data": f"{tmp_path}/data/ces/bundles",
        "files": f"{tmp_path}/data/ces/sif",
        "cache": f"{tmp_path}/.apptainer/cache",
        "building": "/var/tmp",  # noqa: S108  where pulls build, whatever TMPDIR says
    }
    assert found.overlay == {"storage": "mount: wrong fs type"}
    assert list(tmp_path.iterdir()) == []
    # nothing is tried without the programs for it
    lost = replace(account, environ={**environ, "PATH": str(tmp_path)})
    found = look_at_places(lost, process, of_engines(lost, ["podman"]), ["storage"])
    assert found.overlay == {}
    assert list(of_engines(account, ["oci"])) == ["data"]


@pytest.mark.parametrize("name", NAMES)
def test_an_engine_says_where_all_is_that_it_keeps(name: str, tmp_path: Path) -> None:
    account = Account("ada", 7, str(tmp_path), (), {"PATH": "/usr/bin"})
    kept = runner_named(name).traits().kept
    assert list(of_engines(account, [name])) == [one.name for one in kept]
    others = [
        one.name for other in NAMES if other != name for one in runner_named(other).traits().kept
    ]
    assert {one.name for one in kept} & {"home", "records", *others} == set()


def test_a_disk_that_is_not_mounted_is_told_once() -> None:
    """And not that the administrator is to make what lies on it."""
    place = replace(PLACE, path="/scratch/c/1001/data", there=False, refused="Permission denied")
    found = replace(GOOD, places={**GOOD.places, "storage": place}, lost=("/scratch/c",))
    only(LOOKS, found, "disks", "fault", "/scratch/c lacks the file .tre-ces-disk")


def test_images_for_all_whose_file_system_is_not_mounted_are_named() -> None:
    found = replace(GOOD, unmounted={"/srv/sif": "/srv"})
    only(LOOKS, found, "shared_disks", "fault", "nothing is mounted on /srv")


def test_what_was_made_for_another_user_of_that_uid_is_told() -> None:
    found = replace(GOOD, anothers="/x/1001 was made for carol")
    only(LOOKS, found, "made_for", "fault", "was made for carol")
