# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles make of files that a site has written before them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from role_values import ROOT, evaluate, render, role_values

PLACE = '"/var/lib/tre-ces/containers/$UID/storage"'


def host(**storage: str) -> dict[str, Any]:
    """What host_facts tells of a host with these settings in storage.conf."""
    settings = {key.replace("__", "."): value for key, value in storage.items()}
    path = {"file_system": "ext4", "mount_point": "/", "noexec": False}
    return {
        "storage_conf": settings,
        "users": [],
        "overlay_said": "",
        "fuse_said": "",
        "paths": {"/var/lib/tre-ces/containers": path},
    }


def settings(text: str) -> list[str]:
    """Sections, keys and values, without comments."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_a_fresh_host_gets_podmans_own_places_for_root() -> None:
    text = render("container_storage", "storage.conf.j2", __container_storage_host=host())
    assert settings(text) == [
        "[storage]",
        'driver = "overlay"',
        'graphroot = "/var/lib/containers/storage"',
        f"rootless_storage_path = {PLACE}",
        'runroot = "/run/containers/storage"',
    ]


def test_what_a_site_has_for_root_stays() -> None:
    found = host(
        storage__graphroot='"/srv/containers"',
        storage__options__additionalimagestores='["/srv/images"]',
        storage__options__overlay__mountopt='"nodev"',
    )
    text = render("container_storage", "storage.conf.j2", __container_storage_host=found)
    assert settings(text) == [
        "[storage]",
        'driver = "overlay"',
        'graphroot = "/srv/containers"',
        f"rootless_storage_path = {PLACE}",
        'runroot = "/run/containers/storage"',
        "[storage.options]",
        'additionalimagestores = ["/srv/images"]',
        "[storage.options.overlay]",
        'mountopt = "nodev"',
    ]


@pytest.mark.parametrize(
    ("driver", "refused"), [('"vfs"', True), ("'btrfs'", True), ('"overlay"', False), ('""', False)]
)
def test_a_driver_that_would_hide_roots_containers_is_refused(driver: str, refused: bool) -> None:
    values = role_values("container_storage", __container_storage_host=host(storage__driver=driver))
    standing = evaluate(values, "__container_storage_standing")
    assert bool(standing) == refused
    assert all(driver in reason and "storage.conf" in reason for reason in standing)


def test_users_storage_that_was_elsewhere_is_told() -> None:
    elsewhere = host(storage__rootless_storage_path='"/scratch/$USER"')
    values = role_values("container_storage", __container_storage_host=elsewhere)
    (remark,) = evaluate(values, "__container_storage_remarks")
    assert '"/scratch/$USER"' in remark
    values = role_values("container_storage", __container_storage_host=host())
    assert evaluate(values, "__container_storage_remarks") == []


@pytest.mark.parametrize(("policy", "refused"), [("write", True), ("keep", False)])
def test_signatures_that_a_site_demands_are_not_dropped(policy: str, refused: bool) -> None:
    found = {
        "users": [],
        "cgroups": {"version": "v2", "controllers": ["cpu", "memory", "pids"]},
        "sysctl": {"max_user_namespaces": 1, "max_net_namespaces": 1},
        "demanded_signatures": ["r.test/x (signedBy)"],
    }
    values = role_values("podman", podman_policy=policy, __podman_host=found, podman_users=[])
    standing = evaluate(values, "__podman_standing")
    assert [("r.test/x (signedBy)" in reason) for reason in standing] == [True] * refused


WRITERS = ("ansible.builtin.template", "ansible.builtin.copy", "tre.ces.file_set")


def tasks_in(found: Any) -> Iterator[dict[str, Any]]:
    """All tasks of a file, those in blocks too."""
    for task in found or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks_in(task.get(part))


@pytest.mark.parametrize(
    "file",
    sorted(ROOT.glob("roles/*/tasks/*.yml")),
    ids=lambda file: f"{file.parts[-3]}-{file.stem}",
)
def test_check_mode_shows_every_file(file: Path) -> None:
    """A task that is left out in check mode hides its file from --diff."""
    for task in tasks_in(yaml.safe_load(file.read_text(encoding="utf-8"))):
        if set(WRITERS) & set(task):
            assert "ansible_check_mode" not in str(task.get("when")), task["name"]
