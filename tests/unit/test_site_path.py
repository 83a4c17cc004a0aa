# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a site's own on the controller, and the authorities that are made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from role_values import ROOT, evaluate, role_values

from ansible_collections.tre.ces.plugins.filter.site_path import site_path


def test_a_path_starts_at_the_sites_playbook(tmp_path: Path) -> None:
    assert site_path("files/ca.pem", str(tmp_path)) == f"{tmp_path}/files/ca.pem"


def test_with_our_own_playbook_it_starts_where_ansible_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not in the directory where the collection is installed."""
    monkeypatch.chdir(tmp_path)
    assert site_path("files/ca.pem", str(ROOT / "playbooks")) == f"{tmp_path}/files/ca.pem"


def test_other_paths_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/keeper")
    assert site_path("/etc/ca.pem", str(tmp_path)) == "/etc/ca.pem"
    assert site_path("~/ca.pem", str(tmp_path)) == "/home/keeper/ca.pem"
    assert site_path("", str(tmp_path)) == ""


def authorities(*registries: dict[str, Any], place: Path) -> Any:
    values = role_values("podman", podman_registries=list(registries), playbook_dir=str(place))
    return evaluate(values, "__podman_files_of_authorities")


def test_all_authorities_of_one_registry_are_trusted(tmp_path: Path) -> None:
    """Also where the first file does not end its last line."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    for name in ("old", "new"):
        (tmp_path / f"{name}.pem").write_text(f"{begin}\n{name}\n{end}")
    entries = [
        {"prefix": "r.example.org/a", "ca": "old.pem"},
        {"prefix": "r.example.org/b", "ca": "new.pem"},
        {"prefix": "r.example.org/c", "ca": "old.pem"},
        {"prefix": "s.example.org", "rewrite": "r.example.org/d", "ca": "new.pem"},
    ]
    text = f"{begin}\nold\n{end}\n{begin}\nnew\n{end}\n"
    path = "/etc/containers/certs.d/r.example.org/ca.crt"
    assert authorities(*entries, place=tmp_path) == [{"path": path, "content": text}]
