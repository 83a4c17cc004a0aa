# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of what the site's policy names; and how it is found."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from recording import BackEnd, make_backend
from telling import POLICY, only, told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.site import LOOKS, OF_ALL
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host import site
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.site import (
    PolicyFile,
    Site,
    look_at_policy,
    look_at_site,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord

GOOD = Site("ada", projects=("p1",))
THERE = PolicyFile(there=True)


def test_a_good_site_is_well() -> None:
    assert told(LOOKS, GOOD) == []
    assert told(OF_ALL, THERE) == []


@pytest.mark.parametrize(
    ("changes", "check", "level", "part"),
    [
        (
            {"projects": (), "no_data": "no directory", "data_cure": "ask"},
            "safe_data",
            "fault",
            "no directory",
        ),
        (
            {"projects": ("p1", "p2"), "no_data": "there are several"},
            "safe_data",
            "note",
            "--project NAME",
        ),
        ({"stores": ("/srv/sif",)}, "image_stores", "warning", "/srv/sif"),
        (
            {"unmade": {"/srv/x/7/tmp": "apptainer"}},
            "user_directories",
            "warning",
            "role apptainer",
        ),
        ({"dead": (3, 4)}, "dead_runs", "note", "(3, 4)"),
        ({"damaged": (5,)}, "records", "warning", "runs 5"),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, Any], check: str, level: str, part: str) -> None:
    only(LOOKS, replace(GOOD, **changes), check, level, part)


@pytest.mark.parametrize(
    ("changes", "check", "level", "part"),
    [
        ({"error": "line 1"}, "policy", "fault", "line 1"),
        ({"there": False}, "policy", "warning", "no registry"),
        ({"audited": False}, "audit", "warning", "/dev/log"),
    ],
)
def test_what_is_wrong_for_all_is_told(
    changes: dict[str, Any], check: str, level: str, part: str
) -> None:
    only(OF_ALL, replace(THERE, **changes), check, level, part)


def test_nobody_needs_to_hear_what_is_not_audited() -> None:
    quiet = replace(POLICY, audit_syslog=False)
    assert told(OF_ALL, replace(THERE, audited=False), quiet) == []


@pytest.fixture
def backend(tmp_path: Path) -> BackEnd:
    return make_backend(tmp_path)


def look(backend: BackEnd, **changes: Any) -> Site:
    system = backend.system
    return look_at_site(system.account, replace(system.policy, **changes))


def test_project_data_are_found_as_a_run_finds_them(backend: BackEnd) -> None:
    assert (look(backend).projects, look(backend).no_data) == (("p1",), "")
    (backend.place / "safe_data/ada").mkdir()
    found = look(backend)
    assert found.projects == ("ada", "p1")
    assert "several" in found.no_data
    for project in ("ada", "p1"):
        (backend.place / f"safe_data/{project}").rmdir()
    found = look(backend)
    assert "ada, tre-p1" in found.no_data
    assert found.data_cure


def test_what_is_missing_is_found(backend: BackEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    told_of = backend.place / "apptainer.json"
    told_of.write_text(json.dumps({"storage_root": f"{backend.place}/local"}))
    monkeypatch.setattr(
        site, "LOCAL_DIRECTORIES", (("APPTAINER_TMPDIR", str(told_of), "tmp"), ("X", "/no", "x"))
    )
    account = replace(backend.system.account, uid=4321)
    policy = replace(backend.system.policy, sif_dir=f"{backend.place}/sif")
    found = look_at_site(account, policy)
    assert found.unmade == {f"{backend.place}/local/4321/tmp": "apptainer"}
    assert found.stores == (f"{backend.place}/sif",)


def test_a_listener_and_a_policy_are_found(backend: BackEnd) -> None:
    socket, policy = backend.place / "log", backend.place / "policy.json"
    here = replace(backend.system.policy, origin=str(policy))
    assert look_at_policy(here, "x", str(socket)) == PolicyFile(False, "x", audited=False)
    socket.touch()
    policy.touch()
    assert look_at_policy(here, "", str(socket)) == PolicyFile(True)


def test_runs_whose_process_died_are_found(backend: BackEnd) -> None:
    records, host = backend.system.records, os.uname().nodename
    numbers = []
    for state, where in (("RUNNING", host), ("RUNNING", "other"), ("RUNNING", host)):
        run = records.open()
        run.save(RunRecord(run.run_id, state=state, host=where))
        numbers.append(run)
    numbers[0].release()
    numbers[1].release()
    broken = records.open()
    (backend.home / f".local/state/ces/runs/{broken.run_id}/run.json").write_text("{")
    broken.release()
    # a file that cannot be opened for writing, as on a read-only home
    (backend.home / ".local/state/ces/active/9").mkdir()
    found = look(backend)
    assert found.dead == (1,)
    assert found.damaged == (broken.run_id, 9)
    numbers[2].release()
