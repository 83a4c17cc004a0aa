# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster that the role slurm made: jobs of a user, refusals, restarts, many at once."""

from __future__ import annotations

import time

import pytest
from conftest import NODES, Cluster, User
from remote import wait_until


def test_all_hosts_share_one_key_that_is_munges_alone(cluster: Cluster) -> None:
    look = "stat -c '%U %a' /etc/munge/munge.key; sha256sum /etc/munge/munge.key"
    said = {host.root(look) for host in (cluster.submit, *cluster.nodes.values())}
    assert len({line.split()[2] for line in said}) == 1
    assert all(line.startswith(("munge 400\n", "munge 600\n")) for line in said)


@pytest.mark.parametrize("node", NODES)
def test_the_daemon_of_a_node_never_waited_for_its_configuration(
    cluster: Cluster, node: str
) -> None:
    """Its package starts it, and without slurm.conf it looks for one until systemd gives up."""
    look = "journalctl --unit=slurmd --grep='slurmd version|failed to load configs' --output=cat"
    said = cluster.nodes[node].root(look)
    assert "slurmd version" in said
    assert "failed to load configs" not in said


@pytest.mark.parametrize("node", NODES)
def test_a_job_runs_as_its_user_in_the_shared_home(bob: User, node: str) -> None:
    bob.srun(f"--nodelist={node}", "sh", "-c", "echo $(hostname) $(id -un) $(pwd) > where").ok()
    assert bob.run("cat where").out.split() == [node, "bob", bob.home]


def test_the_exit_status_of_a_job_is_that_of_its_program(cluster: Cluster, bob: User) -> None:
    assert bob.srun("sh", "-c", "exit 7").rc == 7
    number = bob.sbatch("exit 7")
    assert cluster.wait_for_end(number)["JobState"] == "FAILED"
    assert cluster.job(number)["ExitCode"] == "7:0"


def test_a_job_that_asks_for_nothing_gets_the_defaults(cluster: Cluster, bob: User) -> None:
    job = cluster.job(bob.sbatch("true"))
    assert job["Partition"] == "batch"
    assert job["TimeLimit"] == "00:10:00"
    assert job["MinMemoryCPU"] == "500M"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--partition=nowhere", "invalid partition specified"),
        ("--mem=500G", "Memory specification can not be satisfied"),
        ("--cpus-per-task=500", "Requested node configuration is not available"),
        ("--account=nobody", "Invalid account"),
        ("--gres=gpu:9", "Requested node configuration is not available"),
    ],
)
def test_what_can_never_run_is_refused_at_once(bob: User, options: str, says: str) -> None:
    done = bob.run(f"sbatch {options}", stdin="#!/bin/sh\ntrue\n")
    assert done.rc != 0
    assert says in done.err


def test_who_has_no_account_is_refused(dave: User) -> None:
    done = dave.run("sbatch", stdin="#!/bin/sh\ntrue\n")
    assert done.rc != 0
    assert "Invalid account" in done.err


def test_a_job_gets_the_graphics_processors_that_it_asked_for(bob: User) -> None:
    def seen(*options: str) -> str:
        return bob.srun(*options, "sh", "-c", "echo $CUDA_VISIBLE_DEVICES").ok().out.strip()

    assert seen() == ""
    assert seen("--gres=gpu:1") in ("0", "1")
    assert seen("--gres=gpu:2") == "0,1"


def test_the_accounting_knows_how_jobs_ended(cluster: Cluster, bob: User) -> None:
    number = bob.sbatch("exit 3", "--nodelist=node2")
    cluster.wait_for_end(number)
    look = (
        f"sacct --noheader --parsable2 --allocations --format=State,ExitCode,NodeList -j {number}"
    )
    wait_until(lambda: bob.run(look).out.strip() == "FAILED|3:0|node2", "the accounting to know")


def test_a_job_does_not_notice_that_the_controller_is_restarted(
    cluster: Cluster, bob: User
) -> None:
    number = bob.sbatch("sleep 4; echo went on")
    cluster.wait_for(number, "RUNNING")
    cluster.submit.root("systemctl restart slurmctld")
    wait_until(lambda: cluster.submit.run("root", "scontrol ping").rc == 0, "the controller")
    assert cluster.wait_for_end(number)["JobState"] == "COMPLETED"
    assert bob.log(number) == "went on\n"


def test_a_job_does_not_notice_that_the_daemon_of_its_node_is_restarted(
    cluster: Cluster, bob: User
) -> None:
    number = bob.sbatch("sleep 4; echo went on", "--nodelist=node1")
    cluster.wait_for(number, "RUNNING")
    cluster.nodes["node1"].root("systemctl restart slurmd")
    assert cluster.wait_for_end(number)["JobState"] == "COMPLETED"
    assert bob.log(number) == "went on\n"


def test_a_node_that_goes_down_takes_its_job_with_it(cluster: Cluster, bob: User) -> None:
    number = bob.sbatch("sleep 300", "--nodelist=node2", "--no-requeue")
    cluster.wait_for(number, "RUNNING")
    cluster.submit.root("scontrol update nodename=node2 state=down reason=test")
    try:
        assert cluster.wait_for_end(number)["JobState"] == "NODE_FAIL"
    finally:
        # it may have come back by itself, when its slurmd registered
        cluster.submit.run("root", "scontrol update nodename=node2 state=resume")
    wait_until(lambda: bob.left_by(number, "node2") == {}, f"node2 to forget job {number}")


def test_two_hundred_jobs_in_one_go(cluster: Cluster, bob: User) -> None:
    bob.run("rm -rf many; mkdir many").ok()
    script = 'printf "#!/bin/sh\\necho \\$SLURM_JOB_ID >many/\\$SLURM_JOB_ID\\n" >many.sh\n'
    script += "for i in $(seq 200); do sbatch --parsable --mem=50 --output=/dev/null many.sh; done"
    begin = time.monotonic()
    numbers = bob.run(script, timeout=300).ok().out.split()
    assert len(set(numbers)) == 200
    wait_until(
        lambda: not bob.run(
            "squeue --noheader --me --states=all --name=many.sh --states=PD,R,CG"
        ).out,
        "200 jobs to end",
        300,
    )
    print(f"200 jobs in {time.monotonic() - begin:.0f} s")
    assert sorted(bob.run("ls many").out.split()) == sorted(numbers)
    for node in cluster.nodes.values():
        there = {name.partition(".")[0] for name in node.root("ls /run/tre-ces-slurm").split()}
        assert not there & set(numbers)


def test_no_node_was_taken_out_of_use(cluster: Cluster) -> None:
    assert cluster.submit.root("sinfo --noheader --list-reasons") == ""
