# SPDX-License-Identifier: GPL-3.0-or-later
"""Today's version has taken the place of an earlier one, under containers that run.

The tests are steps of one story, in this order; test_system_upgraded.py goes on with it.
"""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import tarfile

from conftest import Site, all_is_there, runs_work
from remote import Host
from verifying import TOP

PLACE = "/usr/local/lib/tre-ces"
PODMAN, PODMAN_2, OCI, OCI_2 = range(3, 7)
"""Runs that the earlier version began."""


def installed(backend: Host) -> set[str]:
    listed = backend.root(f"cd {PLACE}/ && find . -type f -not -path '*/__pycache__/*'")
    return {name.removeprefix("./") for name in listed.split()}


def wanted() -> set[str]:
    program = TOP / "roles/ces_tools/files/pack_tree.py"
    packed = subprocess.run(
        [sys.executable, program, TOP], capture_output=True, check=True, timeout=60
    )
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed.stdout))) as tar:
        return set(tar.getnames())


def test_the_version_says_which_is_installed(site: Site) -> None:
    before = site.alice.run("cat version-before").ok().out
    after = site.alice.run("ces-run --version").ok().out
    assert before.startswith("tre.ces 0.1.0")
    assert re.fullmatch(r"tre\.ces [0-9][^ ]* \(build [0-9a-f]{12}\)\n", after)
    assert after.split()[1] != before.split()[1]


def test_what_runs_goes_on_and_ends_as_it_would_have(site: Site) -> None:
    alice = site.alice
    for number in (PODMAN, PODMAN_2, OCI, OCI_2):
        assert alice.state(number) == ("RUNNING", None)
    assert f"ces-{PODMAN}" in alice.run("podman ps --format '{{.Names}}'").out
    assert alice.end(PODMAN) == ("FAILED", 9)
    assert alice.end(OCI) == ("FAILED", 9)
    assert alice.stop(PODMAN_2) == ("CANCELLED", 143)
    assert alice.stop(OCI_2) == ("CANCELLED", 143)
    assert alice.left() == ""


def test_what_users_had_is_there(site: Site) -> None:
    for user in (site.alice, site.bob):
        all_is_there(user)
        runs_work(user, "podman", "oci")


def test_no_file_of_the_earlier_version_is_left(site: Site) -> None:
    backend = site.backend
    assert installed(backend) == wanted()
    commands = "find /usr/local/bin /usr/local/share -lname '*tre-ces*'"
    assert backend.root(f"{commands} | grep -q ces-run && {commands} -xtype l") == ""


def test_what_the_earlier_version_wrote_is_ours(site: Site) -> None:
    """So a removal takes it away, and brings nothing of it back as somebody else's."""
    listed = json.loads(site.backend.root("cat /var/lib/tre-ces/replaced/written.json"))
    marked = "grep -rlF 'Written by Ansible (role tre.ces.' /etc; find /etc/ces -type f"
    found = site.backend.root(marked).split()
    assert set(found) <= set(listed)
    assert {path: listed[path]["before"] for path in found if listed[path].get("before")} == {}
