# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of users' images: which are there, and what is refused where one is not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.images.by_digest import ByDigest
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services import images
from ansible_collections.tre.ces.plugins.module_utils.ces.system import disks


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "container_storage.json"
    monkeypatch.setattr(disks.lost_disks, "__defaults__", ((str(file), "/none"),))
    return file


def write(record: Path, **values: Any) -> None:
    record.write_text(json.dumps(values))


def test_a_disk_with_its_mark_is_there(record: Path, tmp_path: Path) -> None:
    root = tmp_path / "disk/containers"
    write(record, storage_root=str(root), marked=True)
    assert disks.lost_disks() == (str(root),)
    root.mkdir(parents=True)
    assert disks.lost_disks() == (str(root),)
    (root / disks.MARK).touch()
    assert disks.lost_disks() == ()


def test_a_mount_point_that_is_closed_to_users_lies_bare(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, look = tmp_path / "root", os.stat
    write(record, storage_root=str(root), marked=True)
    closed = {f"{root}/{disks.MARK}"}

    def stat(path: str, **options: Any) -> os.stat_result:
        if str(path) in closed:
            raise PermissionError
        return look(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    root.mkdir()
    assert disks.lost_disks() == (str(root),)
    # nothing can be said of what lies in a directory that is closed
    closed.add(str(root))
    assert disks.lost_disks() == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"marked": true}', '{"storage_root": "/none"}'])
def test_a_host_without_marks_has_lost_none(record: Path, text: str) -> None:
    """As one that an earlier version has configured."""
    record.write_text(text)
    assert disks.lost_disks() == ()
    record.unlink()
    assert disks.lost_disks() == ()


def test_no_engine_is_asked_for_images_of_a_disk_that_is_not_there(record: Path) -> None:
    write(record, storage_root="/scratch/none", marked=True)
    system: Any = SimpleNamespace()
    for runner in ("podman", "apptainer", "oci"):
        with pytest.raises(CesError, match="their disk is not there") as caught:
            images.store_of(runner, system)
        assert "mounts the disk" in caught.value.hint


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "shared_images.json"
    monkeypatch.setattr(disks.unmounted, "__defaults__", (str(file),))
    return file


def test_images_for_all_are_where_a_file_system_is_mounted(noted: Path, tmp_path: Path) -> None:
    assert disks.unmounted() == {}
    points = {"/proc/images": "/proc", f"{tmp_path}/sif": str(tmp_path)}
    noted.write_text(json.dumps({"mounts": points}))
    assert disks.unmounted() == {f"{tmp_path}/sif": str(tmp_path)}
    ByDigest("/own", "/proc/images")
    ByDigest("/own", None)
    with pytest.raises(CesError, match="nothing is mounted on") as caught:
        ByDigest("/own", f"{tmp_path}/sif")
    assert "mounts the disk" in caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"mounts": []}', '{"mounts": null}'])
def test_a_host_that_notes_no_mounts_lacks_none(noted: Path, text: str) -> None:
    noted.write_text(text)
    assert disks.unmounted() == {}
