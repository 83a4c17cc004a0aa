# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of users' images: which are there, and what is refused where one is not."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

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
