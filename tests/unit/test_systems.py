# SPDX-License-Identifier: GPL-3.0-or-later
"""Each system that the page for administrators lists is known to every role that names systems."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleUndefinedVariable
from role_values import ROOT, evaluate, role_values

SYSTEMS = {
    # as docs/administrator.md has it: its family, as Ansible has it; its release, as Galaxy has it
    "Debian 12": ("Debian", "bookworm"),
    "Debian 13": ("Debian", "trixie"),
    "Ubuntu 22.04": ("Debian", "jammy"),
    "Ubuntu 24.04": ("Debian", "noble"),
    "Enterprise Linux 9": ("RedHat", "9"),
    "Enterprise Linux 10": ("RedHat", "10"),
}
OF_DEBIAN = ("registry", "slurm", "slurm_oci")
"""Roles that refuse other families."""
OF_NEWEST = ("slurm", "slurm_oci")
"""Roles for the newest release of a distribution alone."""
OLDER = ("bookworm", "jammy")
ENGINES = {
    # role: how the name of a package begins that its engine cannot do without
    "podman": "podman",
    "apptainer": "squashfs",
    "oci": "skopeo",
}


def facts(system: str, family: str) -> dict[str, Any]:
    """What Ansible finds on a host."""
    distribution, _space, version = system.rpartition(" ")
    return {
        "distribution": distribution,
        "distribution_version": version,
        "distribution_major_version": version.split(".")[0],
        "os_family": family,
    }


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("role", ENGINES)
def test_a_role_knows_its_packages_on_every_system(role: str, system: str) -> None:
    values = role_values(role, ansible_facts=facts(system, SYSTEMS[system][0]))
    named = evaluate(values, f"{role}_packages")
    assert "acl" in named and any(name.startswith(ENGINES[role]) for name in named)
    assert len(named) == len(set(named))


@pytest.mark.parametrize("role", ENGINES)
def test_a_system_that_no_role_knows_is_refused_by_its_name(role: str) -> None:
    values = role_values(role, ansible_facts=facts("Plan 9", "Bell Labs"))
    with pytest.raises(AnsibleUndefinedVariable, match=r"are called on Plan 9\. Use a system that"):
        evaluate(values, f"{role}_packages")


def test_the_page_for_administrators_lists_the_same_systems() -> None:
    page = (ROOT / "docs/administrator.md").read_text(encoding="utf-8")
    table = page.split("\n| system | how far |\n")[1].split("\n\n")[0]
    listed: list[str] = []
    for cell in re.findall(r"^\| (.+?) \|", table, re.M):
        for part in re.split("[,;] ", re.sub(r" \([^)]*\)", "", cell)):
            name, _space, version = part.rpartition(" ")
            # "Ubuntu 22.04, 24.04" names the distribution once
            listed.append(f"{name or listed[-1].rpartition(' ')[0]} {version}")
    assert listed == list(SYSTEMS)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("roles/*/meta/main.yml")), ids=lambda p: p.parts[-3]
)
def test_galaxy_is_told_the_same_systems(path: Path) -> None:
    role = path.parts[-3]
    said = yaml.safe_load(path.read_text(encoding="utf-8"))["galaxy_info"]["platforms"]
    releases = [release for platform in said for release in platform["versions"]]
    known = [
        release
        for family, release in SYSTEMS.values()
        if (role not in OF_DEBIAN or family == "Debian")
        and (role not in OF_NEWEST or release not in OLDER)
    ]
    assert sorted(releases) == sorted(known)
