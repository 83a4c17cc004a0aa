# SPDX-License-Identifier: GPL-3.0-or-later
"""Homes are on NFS: what people want to keep lies there, and nothing of the containers' storage."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from conftest import Machine
from hello_tre import UNMAPPED, HelloTre, Mount

USER = "alice"
LOCAL = "/var/lib/tre-ces/containers"


@pytest.fixture(scope="module")
def info(machine: Machine) -> dict[str, Any]:
    return dict(json.loads(machine.says("podman", "info", "--format", "json", user=USER)))


def file_system(machine: Machine, path: str, user: str = "root") -> str:
    return machine.says(
        "findmnt", "--noheadings", "--output=FSTYPE", "--target", path, user=user
    ).strip()


def test_the_home_is_on_nfs_and_closed_to_root(machine: Machine) -> None:
    assert file_system(machine, f"/home/{USER}", USER) == "nfs4"
    refused = machine.run("ls", f"/home/{USER}")
    assert refused.rc != 0
    assert "Permission denied" in refused.err


def test_storage_is_local(machine: Machine, info: dict[str, Any]) -> None:
    root = info["store"]["graphRoot"]
    assert root == f"{LOCAL}/2001/storage"
    assert file_system(machine, root) == "ext4"
    assert info["store"]["graphDriverName"] == "overlay"
    assert info["store"]["graphStatus"]["Backing Filesystem"] == "extfs"


def test_temporary_files_are_local(machine: Machine, info: dict[str, Any]) -> None:
    copies = info["store"]["imageCopyTmpDir"]
    assert copies == f"{LOCAL}/tmp"
    assert file_system(machine, copies) == "ext4"
    assert file_system(machine, info["store"]["runRoot"], USER) == "tmpfs"


# What Alice and the administrator's playbooks put there, and what a new home has.
OWN = (
    r"outputs-\d+/|\.local/state/ces/|\.local/share/ces/sif/|shell(-instead$|:1\.0\.sif$)|"
    r"\.ansible(_async)?/|\.ssh/|\.(bash|profile)"
)


def test_homes_hold_outputs_and_records_and_no_more(machine: Machine) -> None:
    home = f"/home/{USER}/"
    found = machine.lines("find", home, "!", "-type", "d", "-printf", "%P\\t%t\\n", user=USER)
    changed = dict(line.split("\t") for line in found)
    assert "outputs-1/safe_outputs.txt" in changed
    assert ".local/state/ces/runs/1/run.json" in changed
    # when a file was written tells who did it
    assert {name: time for name, time in changed.items() if not re.match(OWN, name)} == {}


@pytest.mark.parametrize("number", [1, 6, 8])
def test_containers_work_on_it(log: Any, number: int) -> None:
    mounted = Mount(owner=r"root \(0\) root\(0\)", mode="drwx------", file_system="nfs4", entries=0)
    project = Mount(owner=UNMAPPED, mode="drwxrws---", file_system="ext4", entries=1)
    # after a loss of power podman mends its storage, and says so
    said = [
        line for line in log(number).splitlines() if "recreate the missing symlinks" not in line
    ]
    HelloTre(safe_data=project, safe_outputs=mounted, scratch=mounted).check("\n".join(said))


def test_outputs_are_on_the_server_and_the_users_own(machine: Machine) -> None:
    path = f"/srv/home/{USER}/outputs-8/safe_outputs.txt"
    assert machine.says("cat", path) == "This text is in safe_outputs.txt\n"
    assert machine.says("stat", "--format=%U:%G", path).strip() == f"{USER}:{USER}"


def test_nothing_is_left_of_the_refused_storage(machine: Machine) -> None:
    assert machine.run("test", "-e", "/srv/home/containers").rc == 1
    assert f'rootless_storage_path = "{LOCAL}/$UID/storage"' in machine.lines(
        "cat", "/etc/containers/storage.conf"
    )
