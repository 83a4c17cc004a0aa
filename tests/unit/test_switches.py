# SPDX-License-Identifier: GPL-3.0-or-later
"""Switches and numbers that are given as text, as ``-e`` and INI inventories do, mean the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError, AnsibleFilterError
from role_values import ROOT, evaluate, render, role_values

from ansible_collections.tre.ces.plugins.filter.switch import switch

ROLES = sorted(path.parents[1].name for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
ON = [True, "true", "True", "yes", "y", "on", "1", 1]
OFF = [False, "false", "False", "no", "n", "off", "0", 0]


@pytest.mark.parametrize("value", ON)
def test_a_switch_is_on(value: int | str) -> None:
    assert switch(value) is True


@pytest.mark.parametrize("value", OFF)
def test_a_switch_is_off(value: int | str) -> None:
    assert switch(value) is False


@pytest.mark.parametrize("value", ["", "maybe", None, [], "2"])
def test_what_is_neither_is_refused_by_name(value: list[str] | str | None) -> None:
    with pytest.raises(AnsibleFilterError, match=r"ces_gpu is .* neither on nor off"):
        switch(value, "ces_gpu")


def options_of(role: str, kind: str) -> set[str]:
    """The variables of a role that are of a type."""
    text = (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    points = yaml.safe_load(text)["argument_specs"].values()
    options = [item for point in points for item in (point.get("options") or {}).items()]
    return {name for name, option in options if option["type"] == kind}


def sources_of(role: str) -> Iterator[Path]:
    for part in ("defaults", "vars", "tasks", "handlers", "templates"):
        yield from (path for path in sorted((ROOT / "roles" / role / part).glob("*")))


def uses_of(name: str, path: Path) -> Iterator[str]:
    """What stands behind a variable, but for its definition and sentences about it."""
    for line in path.read_text(encoding="utf-8").splitlines():
        code = re.sub(r"(^|\s)#.*", "", line)
        for found in re.finditer(rf"(?<![\w.]){name}\b(?!\s*:| is )(.*)", code):
            yield found[1]


@pytest.mark.parametrize("role", ROLES)
def test_every_role_reads_its_switches_in_one_way(role: str) -> None:
    for name in options_of(role, "bool"):
        uses = [(path, use) for path in sources_of(role) for use in uses_of(name, path)]
        assert uses, f"nothing uses {name}"
        for path, use in uses:
            assert use.startswith(" | tre.ces.switch"), f"{path}: {name}{use}"


@pytest.mark.parametrize(("value", "said"), [(value, "true") for value in ON] + [("no", "false")])
def test_whether_images_can_be_deleted(value: int | str, said: str) -> None:
    text = render("registry", "config.yml.j2", registry_delete=value)
    assert yaml.safe_load(text)["storage"]["delete"]["enabled"] is (said == "true")


@pytest.mark.parametrize("value", OFF)
def test_apptainer_stays_without_setuid(value: int | str) -> None:
    values = role_values("apptainer", apptainer_allow_setuid=value, apptainer_mount_home=value)
    policy = evaluate(values, "__apptainer_policy")
    assert (policy["allow setuid"], policy["mount home"]) == (False, False)


@pytest.mark.parametrize("value", OFF)
def test_nobody_is_verified_without_a_session(value: int | str) -> None:
    values = role_values("podman", podman_users=["alice"], podman_lingering=value)
    assert evaluate(values, "podman_verify_users") == []


@pytest.mark.parametrize(
    ("values", "sessions", "verified"),
    [
        (ON, "always", ["alice"]),
        (OFF, "logins", []),
        (["on_demand"], "on_demand", ["alice"]),
    ],
)
def test_how_sessions_last(values: list[Any], sessions: str, verified: list[str]) -> None:
    for value in values:
        role = role_values("podman", podman_users=["alice", "bob"], podman_lingering=value)
        assert evaluate(role, "__podman_sessions") == sessions
        assert evaluate(role, "podman_verify_users") == verified


@pytest.mark.parametrize("value", ["sometimes", "", "on demand"])
def test_other_words_for_sessions_are_refused(value: str) -> None:
    role = role_values("podman", podman_users=["alice"], podman_lingering=value)
    with pytest.raises(AnsibleError, match="podman_lingering is"):
        evaluate(role, "__podman_sessions")


@pytest.mark.parametrize(("value", "state"), [("on_demand", "file"), (True, "absent")])
def test_the_files_of_sessions_on_demand(value: Any, state: str) -> None:
    role = role_values("podman", podman_users=["alice", "bob"], podman_lingering=value)
    role.available_variables["ansible_facts"] = {"os_family": "Debian"}
    files = {one["path"]: one for one in evaluate(role, "__podman_files_of_sessions")}
    link = files.pop("/etc/systemd/system/sockets.target.wants/tre-ces-session.socket")
    assert link["state"] == ("unmanaged" if state == "file" else "absent")
    assert {one["state"] for one in files.values()} == {state}
    assert files["/etc/ces/session-users"]["content"].splitlines()[1:] == ["alice", "bob"]
    socket = files["/etc/systemd/system/tre-ces-session.socket"]["content"]
    # without it, whoever connects often enough closes the socket for all
    assert "TriggerLimitIntervalSec=0\n" in socket


def slurm_conf(nodes: list[dict[str, Any]], default: Any, memory: Any) -> str:
    return render(
        "slurm",
        "slurm.conf.j2",
        __slurm_has_cgroups=False,
        slurm_controller="c",
        slurm_nodes=nodes,
        slurm_partitions=[{"name": "batch", "default": default, "time_limit": "1:00"}],
        slurm_memory_per_cpu=memory,
    )


def test_slurm_reads_texts_as_numbers_and_switches() -> None:
    gres = {"name": "gpu", "count": 2}
    nodes = [{"name": "n", "cpus": 4, "memory": 4000, "gres": [gres, gres]}]
    texts = [{"name": "n", "cpus": "4", "memory": "4000", "gres": [{**gres, "count": "2"}] * 2}]
    right = slurm_conf(nodes, False, 0)
    assert "DefMemPerCPU=1000\n" in right
    assert "Default=NO" in right
    assert "Gres=gpu:4" in right
    assert slurm_conf(texts, "false", "0") == right
    assert "Default=YES" in slurm_conf(texts, "yes", "0")


@pytest.mark.parametrize("value", OFF)
def test_a_portal_knows_a_cluster_with_homes_of_its_own(value: int | str) -> None:
    cluster = {"id": "island", "title": "x", "login_host": "x", "max_cores": "2", "max_memory": 1}
    values = role_values("ood_apps", ood_apps_clusters=[{**cluster, "shared_home": value}])
    assert [found["id"] for found in evaluate(values, "__ood_apps_remote")] == ["island"]
    expression = "(__ood_apps_written | selectattr('path', 'search', 'island') | first).content"
    job = yaml.safe_load(evaluate(values, expression))["v2"]
    assert job["custom"]["ces"]["shared_home"] is False
    assert job["custom"]["ces"]["max_cores"] == 2
    assert "bin_overrides" in job["job"]


def test_a_role_refuses_what_is_neither() -> None:
    with pytest.raises(AnsibleError, match="neither on nor off"):
        render("registry", "config.yml.j2", registry_delete="maybe")
