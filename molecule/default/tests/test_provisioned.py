# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks/backend.yml made of a bare Debian, as the system's own tools tell it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from conftest import BackEnd

_VARS = Path(__file__).resolve().parents[3] / "roles/ces_tools/vars/main.yml"
COMMANDS = yaml.safe_load(_VARS.read_text(encoding="utf-8"))["__ces_tools_commands"]
USERS = ["alice", "bob", "carol"]
STRANGER = "dave"


class Range(NamedTuple):
    """An entry of /etc/subuid or /etc/subgid."""

    owner: str
    first: int
    size: int

    @property
    def end(self) -> int:
        return self.first + self.size


def ranges(text: str) -> list[Range]:
    entries = [line.split(":") for line in text.splitlines() if line]
    return [Range(owner, int(first), int(size)) for owner, first, size in entries]


@pytest.mark.parametrize("path", ["/etc/subuid", "/etc/subgid"])
def test_subordinate_ids_are_enough_and_nobody_shares_any(backend: BackEnd, path: str) -> None:
    entries = ranges(backend.read(path))
    for user in USERS:
        assert sum(entry.size for entry in entries if entry.owner == user) >= 65536, user
    in_order = sorted(entries, key=lambda entry: entry.first)
    for before, after in zip(in_order, in_order[1:]):
        assert before.end <= after.first, f"{path}: {before} and {after} overlap"


@pytest.mark.parametrize("path", ["/etc/subuid", "/etc/subgid"])
def test_subordinate_ids_are_no_real_ids(backend: BackEnd, path: str) -> None:
    database = "passwd" if path == "/etc/subuid" else "group"
    real = {int(line.split(":")[2]) for line in backend.says("getent", database).splitlines()}
    for entry in ranges(backend.read(path)):
        assert not [number for number in real if entry.first <= number < entry.end], entry


@pytest.mark.parametrize("user", USERS)
def test_users_have_a_session_without_logging_in(backend: BackEnd, user: str) -> None:
    assert backend.says("loginctl", "show-user", user, "--property=Linger").strip() == "Linger=yes"
    assert (
        backend.says("systemctl", "--user", f"--machine={user}@", "is-system-running").strip()
        == "running"
    )


def test_others_have_none(backend: BackEnd) -> None:
    assert not backend.host.file(f"/var/lib/systemd/linger/{STRANGER}").exists


@pytest.mark.parametrize("user", USERS)
def test_podman_is_rootless_on_local_overlay(backend: BackEnd, user: str) -> None:
    info = backend.json("podman", "info", "--format", "json", user=user)
    assert info["host"]["security"]["rootless"] is True
    assert info["host"]["cgroupVersion"] == "v2"
    assert info["store"]["graphDriverName"] == "overlay"
    root = info["store"]["graphRoot"]
    assert root == f"/var/lib/tre-ces/containers/{backend.host.user(user).uid}/storage"
    assert backend.says("stat", "--file-system", "--format=%T", root).strip() == "ext2/ext3"


def test_roots_podman_has_its_usual_storage(backend: BackEnd) -> None:
    """podman 4.3 refuses a storage.conf without a runroot, as root alone."""
    store = backend.json("podman", "info", "--format", "json")["store"]
    assert (store["graphRoot"], store["runRoot"]) == (
        "/var/lib/containers/storage",
        "/run/containers/storage",
    )


def test_storage_of_one_user_is_closed_to_others(backend: BackEnd) -> None:
    root = backend.json("podman", "info", "--format", "json", user="alice")["store"]["graphRoot"]
    assert backend.host.run("su --login bob --command 'ls %s'", root).rc != 0


def test_only_the_allowed_registry_is_trusted(backend: BackEnd, site: dict[str, Any]) -> None:
    policy = json.loads(backend.read("/etc/containers/policy.json"))
    assert policy["default"] == [{"type": "reject"}]
    assert list(policy["transports"]["docker"]) == [f"{site['testbed_registry']}/tre"]


def test_the_policy_is_what_the_inventory_says(backend: BackEnd, site: dict[str, Any]) -> None:
    file = backend.host.file("/etc/ces/policy.json")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
    policy = json.loads(file.content_string)
    assert policy["memory"] == {"default": "512MiB", "maximum": "1GiB"}
    assert [entry["prefix"] for entry in policy["registries"]] == [
        f"{site['testbed_registry']}/tre"
    ]


def test_nobody_but_root_can_change_the_tools(backend: BackEnd) -> None:
    assert backend.says("find", "/usr/local/lib/tre-ces.d", "!", "-user", "root") == ""
    assert (
        backend.says(
            "find",
            "/usr/local/lib/tre-ces.d",
            "/etc/ces",
            "/usr/local/bin",
            "-perm",
            "/022",
            "!",
            "-type",
            "l",
        )
        == ""
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_on_the_path_and_explain_themselves(backend: BackEnd, command: str) -> None:
    assert "usage" in backend.says(command, "--help", user="alice").lower()
