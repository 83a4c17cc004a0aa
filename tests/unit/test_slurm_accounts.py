# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the role slurm that adds accounts, beside a controller that adds its cluster.

sacctmgr is a script here that says what the real one of 24.11 said.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "roles/slurm/files/add_accounts.py"
SACCTMGR = """#!/bin/sh
case "$*" in
    *show\\ cluster*) cat {place}/clusters ;;
    *show\\ associations*) ;;
    *add\\ cluster*)
        {meanwhile}
        echo "{answer}" >&2
        exit 1 ;;
    *) echo "$*" >>{place}/added ;;
esac
"""
EXISTS = " This cluster cluster already exists.  Not adding."


@pytest.mark.parametrize("there", [True, False])
def test_a_cluster_that_came_meanwhile_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    meanwhile = f"echo cluster >{tmp_path}/clusters" if there else ":"
    script = tmp_path / "sacctmgr"
    script.write_text(SACCTMGR.format(place=tmp_path, meanwhile=meanwhile, answer=EXISTS))
    script.chmod(0o755)
    (tmp_path / "clusters").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "add", "cluster"],
        input=json.dumps([{"name": "tre", "users": ["ada"]}]),
        capture_output=True,
        text=True,
        check=False,
    )
    if there:
        assert (done.returncode, len(json.loads(done.stdout))) == (0, 3)
        assert (tmp_path / "added").read_text().splitlines() == [
            "--immediate add account tre cluster=cluster",
            "--immediate add user ada account=tre cluster=cluster",
        ]
    else:
        assert (done.returncode, EXISTS.strip() in done.stderr) == (1, True)
