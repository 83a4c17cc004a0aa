# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of podman differ in which files they read; the role's files mean one thing to all."""

from __future__ import annotations

from pathlib import Path

import pytest
from role_values import render
from test_adopted import PLACE, host

from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.podman_places import (
    podman_storage,
    settings_by_drop_ins,
    storage_by_drop_ins,
    storage_by_one_file,
)

READINGS = (storage_by_one_file, storage_by_drop_ins, podman_storage)
FILES = {
    "storage.conf": "storage.conf.j2",
    "storage.rootless.conf.d/20-tre-ces.conf": "storage.rootless.conf.j2",
    "storage.rootful.conf.d/20-tre-ces.conf": "storage.rootful.conf.j2",
}


def applied(root: Path, **site: str) -> str:
    """A host to which the role was applied; ``site`` is what its storage.conf said before."""
    for name, template in FILES.items():
        path = root / "etc/containers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            render("container_storage", template, __container_storage_host=host(**site))
        )
    return str(root)


@pytest.mark.parametrize("graphroot", ["/var/lib/containers/storage", "/srv/containers"])
def test_all_versions_find_the_same_places(tmp_path: Path, graphroot: str) -> None:
    root = applied(tmp_path, storage__graphroot=f'"{graphroot}"')
    ada, admin = (Account("x", uid, f"{tmp_path}/home", (), {}) for uid in (1234, 0))
    for reading in READINGS:
        assert reading(ada, root) == PLACE.strip('"').replace("$UID", "1234")
        assert reading(admin, root) == graphroot


def test_podman_has_a_great_uid_with_a_sign(tmp_path: Path) -> None:
    great = 3_000_000_000
    place = podman_storage(Account("great", great, "/home/great", (), {}), applied(tmp_path))
    assert place == PLACE.strip('"').replace("$UID", "-1294967296")


@pytest.mark.parametrize(("uid", "runroot"), [(1234, ""), (0, "/run/containers/storage")])
def test_a_newer_podman_has_a_runroot_for_each_and_warns_of_nothing(
    tmp_path: Path, uid: int, runroot: str
) -> None:
    """It takes all settings of its files, the last of a key, and an empty one for its own default.

    It warns where both graphroot and rootless_storage_path are set.
    """
    root = applied(tmp_path)
    found = settings_by_drop_ins(Account("x", uid, f"{tmp_path}/home", (), {}), root)
    assert found["storage.runroot"] == runroot
    assert found["storage.graphroot"] != ""
    assert found["storage.rootless_storage_path"] == ""
    assert found["storage.driver"] == "overlay"
