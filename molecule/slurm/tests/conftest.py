# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster as its users reach it: they log in on the submit host, and jobs run on the nodes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from remote import Done, Host, Person, logged_in, wait_until
from verifying import ENVIRONMENT, TOP

INVENTORY = Path(os.environ["TESTBED_INVENTORY"])
SITE: dict[str, Any] = {
    **yaml.safe_load((INVENTORY / "group_vars/all.yml").read_text()),
    **yaml.safe_load((INVENTORY / "group_vars/ces_backends.yml").read_text()),
}
NODES = [node["name"] for node in SITE["slurm_nodes"]]
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


@dataclass(frozen=True)
class Cluster:
    """Its hosts; root asks them."""

    submit: Host
    nodes: dict[str, Host]

    def job(self, number: int) -> dict[str, str]:
        """What the controller knows of a job; it forgets some minutes after the end."""
        said = self.submit.root(f"scontrol show --oneliner job {number}")
        return dict(word.partition("=")[::2] for word in said.split() if "=" in word)

    def state(self, number: int) -> str:
        return self.job(number)["JobState"]

    def wait_for(self, number: int, *states: str, seconds: float = 40) -> dict[str, str]:
        wait_until(
            lambda: self.state(number) in states,
            f"job {number} to be {' or '.join(states)}",
            seconds,
        )
        return self.job(number)

    def wait_for_end(self, number: int, seconds: float = 40) -> dict[str, str]:
        return self.wait_for(number, *OVER, seconds=seconds)


@dataclass(frozen=True)
class User(Person):
    """Somebody who submits jobs: from the host where they log in."""

    cluster: Cluster

    def srun(self, *words: str, timeout: float = 120) -> Done:
        return self.run(shlex.join(["srun", "--quiet", *words]) + " </dev/null", timeout=timeout)

    def sbatch(self, script: str, *options: str) -> int:
        """Submit a script; its output goes to ``job-NUMBER.log`` in the home directory."""
        words = ["sbatch", "--parsable", "--output=job-%j.log", *options]
        return int(self.run(shlex.join(words), stdin=f"#!/bin/sh\n{script}\n").ok().out)

    def log(self, number: int) -> str:
        return self.run(f"cat job-{number}.log").ok().out

    def cancel(self, number: int) -> None:
        self.run(f"scancel {number}").ok()

    def on(self, node: str, script: str) -> str:
        """A line of shell in a session on a node, outside of any job."""
        return self.cluster.nodes[node].run(self.name, script).ok().out

    def left_by(self, number: int, node: str) -> dict[str, str]:
        """What is there of a job on a node, of what a job may leave behind."""
        looks = {
            "processes": f"grep -lzsx SLURM_JOB_ID={number} /proc/[0-9]*/environ | cut -d/ -f3 |"
            " xargs -r ps -o pid=,args= | grep -v catatonit",
            "bundles": f"ls /run/user/{self.uid}/tre-ces-slurm | grep '[.]{number}[.]'",
            "settings": f"ls /run/tre-ces-slurm/{number}.conf",
            "spool": f"ls /var/lib/slurm/slurmd | grep -E '(job0*|[-_]){number}([-.]|$)'",
        }
        node_host = self.cluster.nodes[node]
        found = {name: node_host.run("root", look).out for name, look in looks.items()}
        return {name: said for name, said in found.items() if said}

    def pull(self, node: str) -> None:
        words = ["ces-pull", "podman", "--username", SITE["testbed_registry_user"]]
        words += ["--password-stdin", self.image]
        host = self.cluster.nodes[node]
        host.command(self.name, *words, stdin=SITE["testbed_registry_password"]).ok()


def provision(*options: str) -> str:
    """A site changes its inventory, and applies the playbook again."""
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    argv = [program, f"--inventory={INVENTORY}", *options, str(TOP / "playbooks/backend.yml")]
    done = subprocess.run(
        argv, env=ENVIRONMENT, cwd=TOP, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def hosts() -> Iterator[dict[str, Host]]:
    with logged_in(INVENTORY) as found:
        yield found


@pytest.fixture(scope="session")
def cluster(hosts: dict[str, Host]) -> Cluster:
    return Cluster(hosts["slurmctl"], {name: hosts[name] for name in NODES})


@pytest.fixture(scope="session")
def users(cluster: Cluster) -> dict[str, User]:
    return {
        person["name"]: User(
            cluster.submit, person["name"], person["uid"], SITE["testbed_image"], cluster
        )
        for person in SITE["testbed_people"]
    }


@pytest.fixture(scope="session")
def bob(users: dict[str, User]) -> User:
    """A researcher who has the image on every node."""
    for node in NODES:
        users["bob"].pull(node)
    return users["bob"]


@pytest.fixture(scope="session")
def dave(users: dict[str, User]) -> User:
    """He has an account on the hosts, and none in Slurm."""
    return users["dave"]
