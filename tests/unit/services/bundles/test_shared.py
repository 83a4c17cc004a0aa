# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacked images that several users share: nobody is misled. No engine runs."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
from pathlib import Path

import pytest
from oci_site import IMAGE, SPEC, Site, pull, store, unpacked
from recording import DIGEST
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.images import by_digest
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    NotFound,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.images import (
    list_images,
    remove_image,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import run_container
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command


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
