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
    """What host_check tells of a host with these settings in storage.conf."""
    settings = {key.replace("__", "."): value for key, value in storage.items()}
    return {"storage_conf": settings, "users": []}


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


REFUSED = [{"check": name, "reason": f"{name} is ill"} for name in ("fuse", "id_mappers", "x")]


def test_podman_is_refused_for_what_it_does_not_mend_itself() -> None:
    found = {"refused": REFUSED, "told": ["odd"], "users": []}
    values = role_values("podman", __podman_host=found, podman_registries=[])
    assert evaluate(values, "__podman_standing") == ["fuse is ill", "x is ill"]
    odd, empty = evaluate(values, "__podman_remarks")
    assert odd == "WARNING: odd"
    assert "podman_registries is empty" in empty
    missing = [{"prefix": "r.example.org", "ca": "/no/such.pem"}]
    values = role_values("podman", __podman_host=found, podman_registries=missing)
    assert "/no/such.pem is not a file" in evaluate(values, "__podman_standing")[-1]


@pytest.mark.parametrize("setuid", [True, False])
def test_apptainer_is_refused_for_the_host_and_for_the_site(setuid: bool) -> None:
    names = ("users_known", "fuse", "user_namespaces")
    found = {
        "refused": [{"check": name, "reason": f"{name} is ill"} for name in names],
        "apptainer": {"version": "1.4"},
        "apt": {"installed": "1.4", "offers": [{"suite": "x", "version": "1.4"}], "mirrors": []},
    }
    facts = {"pkg_mgr": "apt", "os_family": "Debian", "distribution": "Debian"}
    facts |= {"distribution_version": "13", "distribution_major_version": "13"}
    values = role_values(
        "apptainer",
        __apptainer_host=found,
        apptainer_allow_setuid=setuid,
        ansible_facts=facts,
    )
    namespaces = [] if setuid else ["user_namespaces is ill"]
    assert evaluate(values, "__apptainer_mistakes") == ["users_known is ill"]
    assert evaluate(values, "__apptainer_standing") == ["fuse is ill", *namespaces]
