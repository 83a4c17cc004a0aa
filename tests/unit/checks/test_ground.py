# SPDX-License-Identifier: GPL-3.0-or-later
"""What refuses a host before a role changes it; and how that is found."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import eventually
from telling import only, told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.ground import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host import (
    ground,
    monitors,
    people,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.ground import (
    Ground,
    look_at_ground,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.mounts import Mount

ROOT = "/var/lib/tre-ces/containers"
GOOD = Ground("container_storage", root=ROOT, mount=Mount("/", "ext4", ()), refused=("nfs4",))
FUSE = "/dev/fuse is missing"


def storage(**settings: str) -> dict[str, Any]:
    return {"storage": {f"storage.{key}": value for key, value in settings.items()}}


def test_good_ground_is_well() -> None:
    own = storage(driver='"overlay"', rootless_storage_path=f'"{ROOT}/$UID/storage"')
    for found in (GOOD, replace(GOOD, **own), replace(GOOD, **storage(driver='""')), Ground("x")):
        assert told(LOOKS, found) == []


@pytest.mark.parametrize(
    ("changes", "check", "level", "part"),
    [
        ({"lost": True}, "root_disk", "fault", "is not mounted"),
        ({"lost": True}, "root_disk", "fault", "container_storage_new_disk"),
        ({"unknown": ("eve",)}, "users_known", "fault", "container_storage_users names users"),
        ({"kept_out": {"eve": "expired"}}, "users_served", "warning", "eve is left out"),
        ({"reused": (("eve", 2003, "carol"),)}, "uids_reused", "fault", "which was carol's"),
        ({"handed": (("eve", "5-9", "carol"),)}, "ids_reused", "fault", "5-9, which were carol's"),
        ({"moved": (("eve", 2002),)}, "uids_changed", "warning", "eve had the uid 2002 before"),
        ({"homeless": ("eve",)}, "homes_there", "warning", "eve has no home directory yet"),
        (
            {"mount": Mount("/srv", "nfs4", ())},
            "root_file_system",
            "fault",
            f"container_storage_root {ROOT} lies on nfs4 (mounted at /srv)",
        ),
        ({"mount": Mount("/", "overlay", ())}, "root_file_system", "fault", "ext4 or xfs"),
        ({"mount": Mount("/v", "xfs", ("noexec",))}, "root_noexec", "fault", "/v, which"),
        ({"overlay": "mount: denied", "fuse": FUSE}, "root_overlay", "fault", "mount: denied"),
        ({"signed": ("r.test/x (signedBy)",)}, "signatures", "fault", "podman_policy: keep"),
        (storage(driver='"vfs"'), "storage_driver", "fault", 'driver = "vfs"'),
        (storage(driver="'btrfs'"), "storage_driver", "fault", "storage.conf says"),
        (
            storage(rootless_storage_path='"/scratch/$USER"'),
            "storage_moved",
            "note",
            '"/scratch/$USER"',
        ),
        (
            {"unmounted": {"/srv/sif": "/srv"}},
            "shared_disks",
            "fault",
            "nothing is mounted on /srv, where a file system was in an earlier run",
        ),
        (
            {"stranded": (("eve", "/home/eve/s", "one"), ("eve", "/home/eve/s", "two"))},
            "containers_in_view",
            "fault",
            "eve has containers that run in /home/eve/s (one, two)",
        ),
        ({"logind": "252"}, "logind", "warning", "systemd-logind still is version 252"),
        ({"broken": ("x sets y = z",)}, "site_containers_conf", "warning", "x sets y = z"),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, Any], check: str, level: str, part: str) -> None:
    only(LOOKS, replace(GOOD, **changes), check, level, part)


def test_one_of_the_two_overlays_is_enough() -> None:
    assert told(LOOKS, replace(GOOD, overlay="mount: denied")) == []
    assert told(LOOKS, replace(GOOD, fuse=FUSE)) == []


def test_apptainer_needs_no_overlay_there() -> None:
    found = replace(GOOD, role="apptainer", mount=Mount("/", "overlay", ()))
    assert told(LOOKS, found) == []
    found = replace(found, mount=Mount("/srv", "nfs4", ()))
    only(LOOKS, found, "root_file_system", "fault", "apptainer_storage_root")


def test_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr(ground, "demanded_signatures", lambda: ["x (signedBy)"])
    found = look_at_ground("podman", [me, "no.such.user"], f"{tmp_path}/not/there", ["nfs"])
    assert found.unknown == ("no.such.user",)
    assert found.signed == ("x (signedBy)",)
    assert found.mount.kind != "unknown"
    assert found.overlay == ""


def test_containers_that_would_run_on_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their monitors say where they are, also where no podman sees them."""
    me = pwd.getpwuid(os.geteuid()).pw_name
    root, words = f"{tmp_path}/new", ["conmon", "-c", "input()", "-n", "one"]
    bundle = f"{tmp_path}/old/overlay-containers/0123/userdata"
    monkeypatch.setattr(ground, "storage_settings", dict)
    monkeypatch.setattr(monitors, "owner_of", lambda _pid: 65534)
    monkeypatch.setattr(ground, "account_of", lambda _uid: pwd.getpwnam(me))
    with subprocess.Popen(
        [*words, "-b", bundle], executable=sys.executable, stdin=subprocess.PIPE
    ) as child:
        eventually(lambda: bundle in Path(f"/proc/{child.pid}/cmdline").read_text())
        found = look_at_ground("container_storage", [], root, [])
        assert (me, f"{tmp_path}/old", "one") in found.stranded
        # what is not moved strands nobody
        place = {"storage.rootless_storage_path": f'"{root}/$UID/storage"'}
        monkeypatch.setattr(ground, "storage_settings", lambda: place)
        assert look_at_ground("container_storage", [], root, []).stranded == ()
        child.communicate(b"\n")


def test_who_has_no_home_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    homes = {
        "here": tmp_path,
        "not_yet": tmp_path / "x",
        "file": tmp_path / "f",
        "out": tmp_path / "x",
    }
    (tmp_path / "f").touch()
    entry = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(
        people,
        "account",
        lambda name: (
            pwd.struct_passwd((*entry[:5], str(homes[name]), "")) if name in homes else None
        ),
    )
    found = look_at_ground("podman", [*homes, "nobody.here"], "", [], kept_out={"out": "expired"})
    assert found.homeless == ("not_yet", "file")
    assert found.kept_out == {"out": "expired"}
