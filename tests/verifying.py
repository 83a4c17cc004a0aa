# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook verify as an administrator runs it, and its report. For scenarios' tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from remote import Done

TOP = Path(__file__).resolve().parents[1]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
    "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
    "ANSIBLE_COLLECTIONS_PATH": str(TOP / "build/collections"),
    "ANSIBLE_HOME": str(TOP / "build/ansible"),
    "ANSIBLE_NOCOLOR": "1",
}
Proofs = list[dict[str, Any]]


@dataclass(frozen=True)
class Verification:
    """How the play ended, and what it wrote."""

    play: Done
    report: dict[str, Any]
    page: str

    def host(self, name: str) -> dict[str, Any]:
        return next(host for host in self.report["hosts"] if host["name"] == name)

    def proofs(self, host: str, **wanted: str) -> Proofs:
        """The proofs of a host that have these values."""
        return [
            proof
            for proof in self.host(host)["proofs"]
            if all(proof[key] == value for key, value in wanted.items())
        ]

    def failed(self, host: str) -> set[tuple[str, str, str]]:
        """What failed of a host: thing, user and engine."""
        found = self.proofs(host, outcome="failed")
        return {(one["what"], one["user"], one["engine"]) for one in found}


def login_of(site: dict[str, Any]) -> dict[str, Any]:
    """The variables by which an image is pulled from the test bed's registry."""
    return {
        "verify_image": site["testbed_image"],
        "verify_username": site["testbed_registry_user"],
        "verify_password": site["testbed_registry_password"],
    }


def verify(
    inventory: Path, directory: Path, *options: str, timeout: float = 600, **variables: Any
) -> Verification:
    """Run the playbook; the report is in the directory."""
    given = directory / "given.yml"
    given.write_text(yaml.safe_dump({**variables, "verify_directory": str(directory)}))
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    words = [program, f"--inventory={inventory}", *options, f"--extra-vars=@{given}"]
    done = subprocess.run(
        [*words, str(TOP / "playbooks/verify.yml")],
        capture_output=True,
        text=True,
        cwd=TOP,
        env=ENVIRONMENT,
        timeout=timeout,
        check=False,
    )
    play = Done(done.returncode, done.stdout, done.stderr)
    report, page = directory / "verification.json", directory / "verification.html"
    assert report.exists(), play.said
    return Verification(play, json.loads(report.read_text()), page.read_text())
