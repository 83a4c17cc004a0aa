# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role refuses about clusters; Slurm is a stand-in that answers as scontrol does."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ood_support import FILES
from support import loaded

USUAL = {"id": "tre", "title": "x", "login_host": "node1", "max_cores": 1, "max_memory": 1}


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return loaded(FILES / "check_clusters.py")


def asked(*clusters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "clusters": [{**USUAL, **cluster} for cluster in clusters],
        "ask": False,
        "known": ["a", "b"],
        "installed": [{"name": "a"}],
        "overrides": {},
        **more,
    }


@pytest.mark.parametrize(
    ("cluster", "reason"),
    [
        ({}, ""),
        ({"id": "Tre"}, "its id may have small letters"),
        ({"id": "a.b"}, "its id may have small letters"),
        ({"id": "../x"}, "its id may have small letters"),
        ({"script_wrapper": "%s"}, ""),
        ({"script_wrapper": "date +%%s; %s"}, ""),
        ({"script_wrapper": "true"}, "must hold %s once"),
        ({"script_wrapper": "%s %s"}, "must hold %s once"),
        ({"script_wrapper": "100% %s"}, "must hold %s once"),
        ({"script_wrapper": "date +%Y; %s"}, "must hold %s once"),
        ({"title": "a\nb"}, "title holds a line break"),
        ({"login_host": "-oProxyCommand=x"}, "login_host is '-oProxyCommand=x', which is no name"),
        ({"partition": "a b"}, "partition is 'a b', which is no name"),
        ({"max_cores": 0}, "max_cores is less than 1"),
        ({"max_gpus": -1}, "max_gpus is less than 0"),
        ({"wall_time": 0}, "wall_time is no time"),
        ({"runners": []}, "runners is empty"),
        ({"groups": ["no-such-group"]}, "its groups no-such-group are not known"),
        ({"groups": ["root"]}, ""),
        ({"custom": {"image_check_seconds": 20}}, ""),
        ({"custom": {"image_check_seconds": 0}}, "image_check_seconds is 0: write how many"),
        ({"custom": {"image_check_seconds": 600}}, "a launch may wait for ces-check, at most 60"),
        ({"custom": {"image_check_seconds": "ten"}}, "image_check_seconds is 'ten': "),
        ({"custom": {"image_check_seconds": None}}, "image_check_seconds is None: "),
    ],
)
def test_a_cluster_is_refused_with_the_reason(
    program: ModuleType, cluster: dict[str, Any], reason: str
) -> None:
    found = list(program.wrong_clusters(asked(cluster)))
    assert (reason in found[0] and len(found) == 1) if reason else found == []


def test_two_of_a_name_and_apps_that_there_are_not(program: ModuleType) -> None:
    assert "There are two clusters tre." in list(program.wrong_clusters(asked({}, {})))
    wrong = asked(
        {"apps": ["c"]}, installed=[{"name": "d", "group": ""}], overrides={"a": {"B-b": {}}}
    )
    assert list(program.wrong_apps(wrong)) == [
        "ood_apps_installed has d: there are a, b.",
        "apps of clusters has c: there are a, b.",
        "ood_apps_overrides has B-b for a: such a name has small letters, digits and _.",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [("UNLIMITED", None), ("01:00:00", 3600), ("1-02:03:04", 93784), ("INFINITE", None)],
)
def test_limits_of_partitions_are_read(program: ModuleType, text: str, found: int | None) -> None:
    assert program.seconds(text) == found


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, Any]:
    """A scontrol that knows one cluster with one partition of an hour."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '"show config") echo "ClusterName             = tre" ;;\n'
        '"show --oneliner partition batch") echo "PartitionName=batch MaxTime=01:00:00" ;;\n'
        "*) echo not found >&2; exit 1 ;;\n"
        "esac\n"
    )
    scontrol.chmod(0o755)
    return {"bin": str(tmp_path), "wall_time": 1}


@pytest.mark.parametrize(
    ("cluster", "reason"),
    [
        ({"partition": "batch"}, ""),
        ({"id": "other"}, "Slurm calls the cluster tre: take that as its id"),
        ({"id": "other", "slurm_cluster": "tre"}, ""),
        ({"partition": "no-such"}, "Slurm has no partition no-such"),
        ({"partition": "batch", "wall_time": 1.5}, "the partition batch allows 1 h"),
    ],
)
def test_slurm_is_asked(
    program: ModuleType, slurm: dict[str, Any], cluster: dict[str, Any], reason: str
) -> None:
    found = list(program.wrong_clusters(asked({**slurm, **cluster}, ask=True)))
    assert (reason in found[0] and len(found) == 1) if reason else found == []


def test_where_slurm_cannot_be_asked_it_is_said(program: ModuleType, tmp_path: Path) -> None:
    found = list(program.unknown(asked({"bin": str(tmp_path)}, ask=True)))
    assert found == [
        "Slurm could not be asked about the cluster tre from here; see yourself that its"
        " ClusterName is that."
    ]


def test_a_file_of_others_that_the_portal_cannot_read_is_named(
    program: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "right.yml").write_text("v2: {metadata: {title: x}}\n")
    (tmp_path / "alias.yml").write_text("v2:\n  a: &a {x: 1}\n  b: *a\n")
    (tmp_path / "ours.yml").write_text("v2: [\n")
    (found,) = program.wrong_files(tmp_path, {"ours.yml"})
    assert "alias.yml: " in found and "Mend or remove that file." in found
