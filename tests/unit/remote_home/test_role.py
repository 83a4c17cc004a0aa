# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ood_apps makes of clusters with homes of their own."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support import loaded

FILES = Path(__file__).resolve().parents[3] / "roles" / "ood_apps" / "files"
ROOT = FILES.parents[2]


def test_the_portals_own_slurm_is_not_asked_about_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = loaded(FILES / "check_clusters.py")
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho 'ClusterName = tre'\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    cluster = {"id": "island", "title": "x", "login_host": "x", "max_cores": 1, "max_memory": 1}
    assert "calls the cluster tre" in program.Slurm(cluster).wrong()
    assert program.Slurm({**cluster, "shared_home": False}).wrong() is None


def test_each_cluster_has_its_commands_and_they_find_the_programs(tmp_path: Path) -> None:
    words = [sys.executable, str(FILES / "pack_remote.py"), str(ROOT), "sbatch,squeue", "a", "b"]
    archive = subprocess.run(words, capture_output=True, check=True).stdout
    assert archive == subprocess.run(words, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(archive))) as tar:
        assert {n for n in tar.getnames() if n.startswith("clusters")} == {
            f"clusters/{cluster}/{command}" for cluster in "ab" for command in ("sbatch", "squeue")
        }
        tar.extractall(tmp_path)  # noqa: S202  it was packed just above
    for command in ("clusters/a/squeue", "clusters/b/sbatch"):
        done = subprocess.run(
            [f"{tmp_path}/{command}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "there is no /etc/ces/remote/" in done.stderr
    (tmp_path / "ces-remote").symlink_to(tmp_path / "launcher")
    done = subprocess.run(
        [f"{tmp_path}/ces-remote", "--help"], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("usage: ces-remote check")
