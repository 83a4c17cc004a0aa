# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is refused before anything is changed, and what planning says. No engine runs here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from one_run import GIB, NAME, SPEC
from recording import DIGEST, BackEnd

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    InvalidValue,
    NotFound,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import (
    planned,
    run_container,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.allocation import Allocation
from ansible_collections.tre.ces.plugins.module_utils.ces.system.cgroup import Limiting
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import (
    OptionChanges,
    Policy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.resources import Limits
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Directories,
)

REFUSALS = [
    ({"runner": "docker"}, {}, InvalidValue, "no runner of that name"),
    ({"runner": "apptainer"}, {}, RefusedByPolicy, "this site allows: podman"),
    ({"image": ImageRef.parse("evil.example/a")}, {}, RefusedByPolicy, "registry is not allowed"),
    ({}, {"require_digest": True}, RefusedByPolicy, "named by digest"),
    ({"network": "host"}, {}, RefusedByPolicy, "this site allows: none"),
    (
        {"network": "bridge", "runner": "oci"},
        {"networks": ("none", "bridge"), "runners": ("oci",)},
        InvalidValue,
        "it is none of none, host",
    ),
    ({"memory": "8GiB"}, {"memory": Limits(maximum=4 * GIB)}, RefusedByPolicy, "at most 4GiB"),
    ({"cpus": 8}, {"cpus": Limits(maximum=4)}, RefusedByPolicy, "at most 4"),
    ({"options": ["--privileged"]}, {}, RefusedByPolicy, "pass --privileged to podman"),
    (
        {"options": ["--user=1"]},
        {"options": {"podman": OptionChanges(deny=("--user",))}},
        RefusedByPolicy,
        "pass --user to podman",
    ),
    ({"options": ["-v", "/:/host"]}, {}, RefusedByPolicy, "outside what may be mounted"),
    ({"options": ["-v", "/etc:/mnt:ro"]}, {}, RefusedByPolicy, "outside what may be mounted"),
    ({"options": ["--mount", "src=/,dst=/mnt"]}, {}, RefusedByPolicy, "outside what may be"),
    ({"options": ["-v", "{home}/none:/mnt"]}, {}, NotFound, "does not exist"),
    ({"options": ["-v{home}:/m", "-v{home}:/m/"]}, {}, InvalidValue, "two mounts have that place"),
    ({"options": ["-v", "{home}:/safe_data"]}, {}, InvalidValue, "is taken"),
    ({"directories": Directories(outputs="/etc/x")}, {}, RefusedByPolicy, "outside what may be"),
    ({"directories": Directories(scratch="/")}, {}, RefusedByPolicy, "outside what may be"),
    ({"directories": Directories(project="p2")}, {}, CesError, "could not use project 'p2'"),
    ({"pull": "never"}, {}, NotFound, "pull it first: ces-pull podman r"),
    ({"home": True}, {"home": "never"}, RefusedByPolicy, "could not mount the home"),
]


@pytest.mark.parametrize(("asked", "site", "error", "said"), REFUSALS)
@pytest.mark.parametrize("do", [run_container, planned])
def test_what_may_not_be_is_refused_before_any_engine_and_any_number(
    backend: BackEnd,
    do: Callable[..., Any],
    asked: dict[str, Any],
    site: dict[str, Any],
    error: type[Exception],
    said: str,
) -> None:
    asked = dict(asked)
    if "options" in asked:
        asked["options"] = [word.format(home=backend.home) for word in asked["options"]]
    backend.system.policy = replace(backend.system.policy, **site)
    with pytest.raises(error) as caught:
        do(replace(SPEC, **asked), backend.system)
    assert said in str(caught.value)
    assert backend.process.told("podman run") == []
    assert backend.process.told("podman pull") == []
    assert not (backend.home / ".local").exists()


@pytest.mark.parametrize("do", [run_container, planned])
def test_a_uid_that_podman_takes_for_a_negative_one_is_refused(
    backend: BackEnd, do: Callable[..., Any]
) -> None:
    uid = (1 << 31) + 5
    if os.geteuid() != 0:
        pytest.skip("a session's directory of that uid: root alone can make it")
    os.chown(backend.place / "run", uid, -1)
    backend.system.account = replace(backend.system.account, uid=uid)
    with pytest.raises(CesError, match=r"your uid is 2147483653; podman takes a uid of 2\^31"):
        do(SPEC, backend.system)
    assert backend.process.told("podman run") == []


def test_options_that_are_words_of_the_run_are_taken_as_such(ready: BackEnd) -> None:
    options = ("--network=none", "--name=mine", "--memory=512m", "--cpus=2", "--http-proxy=false")
    record = run_container(replace(SPEC, options=options), ready.system).record
    assert (record.network, record.name) == ("none", "mine")
    assert (record.resources["memory"], record.resources["cpus"]) == (512 * 1024**2, 2)
    (argv,) = ready.process.told("podman run")
    assert [word for word in argv if "=mine" in word] == ["--name=mine"]
    assert [word for word in argv if word.startswith("--network")] == ["--network=none"]
    assert "--http-proxy=false" in argv


@pytest.mark.parametrize(
    ("spec", "options", "error", "said"),
    [
        ({}, ["--network=host"], RefusedByPolicy, "network"),
        ({}, ["--name=-x"], InvalidValue, "a container name"),
        ({"name": "a"}, ["--name=b"], InvalidValue, "the run has another name already"),
        ({}, ["--name=a", "--name=b"], InvalidValue, "the run has another name already"),
        ({}, ["--memory=512"], InvalidValue, "less than 4 MiB"),
    ],
)
def test_the_policy_decides_about_words_of_the_run_in_options(
    ready: BackEnd, spec: dict[str, Any], options: list[str], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        run_container(replace(SPEC, **spec, options=options), ready.system)
    assert ready.process.told("podman run") == []


def test_an_engine_that_is_not_installed_is_said_with_the_role_that_installs_it(
    backend: BackEnd,
) -> None:
    (backend.place / "bin" / "podman").unlink()
    with pytest.raises(CesError, match=r"podman is not installed on this host.*role podman"):
        run_container(SPEC, backend.system)


def test_without_a_policy_nothing_runs(backend: BackEnd) -> None:
    backend.system.policy = Policy(audit_syslog=False)
    with pytest.raises(RefusedByPolicy, match="allowed: none"):
        run_container(SPEC, backend.system)


@pytest.mark.parametrize(
    ("controllers", "words", "warned"),
    [
        ({"cpu", "memory"}, ["--cpus=2", "--memory=4294967296b"], None),
        ({"cpu"}, ["--cpus=2"], "limits on memory are not enforced: because"),
        ({"memory"}, ["--memory=4294967296b"], "limits on cpus are not enforced: because"),
        (set(), [], "limits on cpus and memory are not enforced: because"),
    ],
)
def test_limits_that_the_kernel_cannot_hold_are_left_out_with_a_warning_or_refused(
    ready: BackEnd, controllers: set[str], words: list[str], warned: str | None
) -> None:
    ready.system.limiting = Limiting(frozenset(controllers), "because")
    record = run_container(replace(SPEC, cpus=2), ready.system).record
    (argv,) = ready.process.told("podman run")
    limits = [w for w in argv if w.startswith(("--cpus", "--memory=", "--memory-s"))]
    assert [word for word in limits if "swap" not in word] == words
    assert list(record.warnings) == ([warned] if warned else [])
    assert any(warned in line for line in ready.said) if warned else True
    assert record.resources["enforced"] is (warned is None)
    assert f"--cgroups={'no-conmon' if controllers else 'disabled'}" in argv
    ready.system.policy = replace(ready.system.policy, limits="required")
    if warned:
        with pytest.raises(RefusedByPolicy, match="this site requires limits"):
            run_container(replace(SPEC, cpus=2), ready.system)


@pytest.mark.parametrize("outside", [True, False])
def test_variables_of_slurm_take_no_limit_from_a_run_outside_of_jobs(
    ready: BackEnd, outside: bool
) -> None:
    """In a job it is Slurm that holds the job; a user may set the variables anywhere."""
    allocation = Allocation("12", "12", outside=outside)
    ready.system = replace(ready.system, allocation=allocation)
    ready.system.limiting = Limiting(frozenset({"cpu", "memory"}))
    run_container(replace(SPEC, cpus=2, memory="4GiB"), ready.system)
    (argv,) = ready.process.told("podman run")
    assert ("--memory=4294967296b" in argv) is outside
    assert ("--cgroups=disabled" in argv) is not outside


def test_planning_changes_nothing_and_says_what_a_run_would_do(ready: BackEnd) -> None:
    spec = replace(SPEC, args=("x",), options=("--user=1",), env={"A": "s3cret"})
    # podman's answers about images may be kept; only that
    before = {name: text for name, text in ready.files().items() if not name.startswith("run/ces")}
    plan = planned(spec, ready.system)
    after = {name: text for name, text in ready.files().items() if not name.startswith("run/ces")}
    assert after == before
    assert ready.process.told("podman run") == []
    record = run_container(spec, ready.system).record
    assert plan.command == record.command
    for name in ("run_id", "image", "digest", "mounts", "resources", "outputs", "scratch"):
        assert getattr(plan, name) == getattr(record, name)
    assert "s3cret" not in json.dumps(plan.as_dict())


def test_an_image_that_would_take_all_locks_of_podmans_is_refused(ready: BackEnd) -> None:
    """podman has one for each of a user's containers and volumes, and needs some for others."""
    said = {"id": "a", "digest": DIGEST, "digests": [], "names": [NAME], "size": 5, "created": ""}
    answered = json.dumps({**said, "architecture": "amd64", "os": "linux", "volumes": 101})
    ready.process.answer("podman image inspect", stdout=answered)
    with pytest.raises(CesError, match="it names 101 VOLUMEs"):
        run_container(SPEC, ready.system)
    assert ready.process.told("podman run") == []
