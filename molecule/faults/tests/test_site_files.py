# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a site's own on the controller: where they are looked for, and what becomes of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TOP, User, playbook
from remote import Done, Host
from test_ansible import recap

OURS = Path("tre.ces.backend")


@pytest.fixture
def provisioned(backend: Host) -> Iterator[Host]:
    """The back-end, which is as the site has it afterwards."""
    yield backend
    done = playbook(TOP / "playbooks/backend.yml", "--limit=ces_backends", "--tags=podman")
    assert done.rc == 0, done.said


def provision(place: Path, variables: dict[str, Any]) -> Done:
    """Run the collection's own playbook as a site does, from a directory of the site's."""
    words = ["--tags=registry,podman", f"--extra-vars={json.dumps(variables)}"]
    return playbook(OURS, *words, started_in=place)


def test_relative_paths_and_two_authorities_of_one_registry(
    provisioned: Host, registry: Host, users: dict[str, User], site: dict[str, Any], tmp_path: Path
) -> None:
    """While an authority is renewed there are two. The first file does not end its last line."""
    other = tmp_path / "files/other.pem"
    other.parent.mkdir()
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=Other"
    argv = ["openssl", *words.split(), "-keyout", "/dev/null", "-out", str(other)]
    subprocess.run(argv, check=True, capture_output=True)
    other.write_text(other.read_text().rstrip())
    name = site["testbed_registry"]
    variables = {
        "registry_ca_fetch_to": "files/registry-ca.pem",
        "ces_registries_allowed": [
            {"prefix": f"{name}/other", "ca": "files/other.pem"},
            {"prefix": f"{name}/tre", "ca": "files/registry-ca.pem"},
        ],
    }
    done = provision(tmp_path, variables)
    assert done.rc == 0, done.said
    fetched = (tmp_path / "files/registry-ca.pem").read_text()
    assert fetched == registry.root("cat /etc/docker/registry/tls/ca.crt")
    assert not (TOP / "playbooks/files").exists()
    trusted = provisioned.root(f"cat /etc/containers/certs.d/{name}/ca.crt")
    assert trusted == f"{other.read_text()}\n{fetched}"
    again = provision(tmp_path, variables)
    assert recap(again.said)["changed"] == 0, again.said
    users["bob"].pull().ok()


def test_an_authority_that_is_not_there_is_named(provisioned: Host, tmp_path: Path) -> None:
    entry = {"prefix": "r.example.org", "ca": "files/none.pem"}
    done = provision(tmp_path, {"ces_registries_allowed": [entry]})
    assert done.rc != 0
    assert f"{tmp_path}/files/none.pem" in done.said.replace("\n", " ")
