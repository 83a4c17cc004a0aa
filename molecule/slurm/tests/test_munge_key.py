# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of munge is replaced while jobs run and wait: docs/administrator.md says how."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import NODES, Cluster, User, provision
from remote import Host, wait_until

KEY = "/etc/munge/munge.key"
OPTIONS = ("--tags=slurm", "--limit=ces_slurm_controllers:ces_slurm_nodes")


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Path]:
    """Where the site keeps the new key."""
    file = tmp_path / "vault.yml"
    file.touch(0o600)
    key = base64.b64encode(os.urandom(128)).decode()
    file.write_text(yaml.safe_dump({"slurm_munge_key": key}))
    yield file
    file.unlink()


def hosts_of(cluster: Cluster) -> tuple[Host, ...]:
    return (cluster.submit, *cluster.nodes.values())


def test_running_and_queued_jobs_survive_another_key(
    cluster: Cluster, bob: User, vault: Path
) -> None:
    former = {host.root(f"sha256sum <{KEY}") for host in hosts_of(cluster)}
    made_before = cluster.submit.root("munge --no-input")
    run = f"ces-run podman --project proj1 {bob.image}"
    running = [bob.sbatch(f"{run} -d 25 && echo went on", f"--nodelist={node}") for node in NODES]
    for number in running:
        cluster.wait_for(number, "RUNNING")
    after = ":".join(map(str, running))
    queued = bob.sbatch(f"{run} && echo went on", f"--dependency=afterany:{after}")
    # these start whenever there is room, while keys are being replaced too
    many = [bob.sbatch("sleep 2; echo went on", "--mem=50", "--no-requeue") for _job in range(40)]
    begin = cluster.submit.root("date '+%Y-%m-%dT%H:%M:%S'").strip()

    provision(*OPTIONS, f"--extra-vars=@{vault}")

    assert bob.srun("true").rc == 0
    for number in (*running, queued, *many):
        assert cluster.wait_for_end(number, seconds=90)["JobState"] == "COMPLETED", number
        assert bob.log(number).endswith("went on\n")
    now = {host.root(f"sha256sum <{KEY}") for host in hosts_of(cluster)}
    assert len(now) == 1
    assert now != former
    for host in hosts_of(cluster):
        assert host.root("ls -A /etc/munge") == "munge.key\n", "the former key is left"
        refused = host.run("root", "unmunge", stdin=made_before)
        assert "Invalid credential" in refused.said, refused.said
    wait_until(lambda: not cluster.submit.root("sinfo --noheader --list-reasons"), "all nodes")
    words = "authentication error|failed: Zero Bytes were transmitted"
    for host in hosts_of(cluster):
        log = host.root(f"cat /var/log/slurm/slurm*d.log | grep -E '{words}' || true")
        assert [line for line in log.splitlines() if line[1:20] >= begin] == []
    # also a site that leaves the variable out again keeps the key
    assert not re.search("changed=[1-9]", provision(*OPTIONS))
