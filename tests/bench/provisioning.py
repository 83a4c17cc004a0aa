# SPDX-License-Identifier: GPL-3.0-or-later
"""What provisioning costs: beside an older build of this collection, and beside another role.

Each build has hosts of its own, since one would find the other's commands stale. They take turns.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hosts import HERE, HOST, TOP, build_before, inventory_of, playbook, run
from rows import Row, row

PEER_ROLE = os.environ.get("BENCH_PEER_ROLE", "")
"""Directory of linux-system-roles/podman; without it the comparable part is not measured."""
TURNS = int(os.environ.get("BENCH_TURNS", "3"))
HOSTS = 8
ON_CONTROLLER = {"assert", "debug", "fail", "include_role", "include_tasks", "meta", "set_fact"}
"""Actions that start nothing on a host."""
SITE = f"--extra-vars=@{HERE / 'site.yml'}"


class Bed:
    """A back-end of its own for one build of the collection.

    :param name: of the set of hosts, as TESTBED has it.
    :param checkout: the build that provisions it.
    """

    def __init__(self, name: str, checkout: Path) -> None:
        self.name = name
        self.collections = collection_of(checkout)
        self.backend = str(checkout / "playbooks/backend.yml")

    def up(self) -> None:
        """A host that has people and nothing else."""
        run([TOP / "testbed/hosts", "up", "registry", HOST], environ={"TESTBED": self.name})
        self.play(str(TOP / "testbed/people.yml"))

    def down(self) -> None:
        """Remove the hosts; what they downloaded is kept for the next ones."""
        run([TOP / "testbed/hosts", "down"], environ={"TESTBED": self.name})

    def play(self, *words: str, **environ: str) -> str:
        """Run a playbook on this bed, with this build."""
        environ.setdefault("ANSIBLE_COLLECTIONS_PATH", self.collections)
        return playbook(*words, instance=self.name, **environ)

    def provision(self, *words: str) -> float:
        """Seconds that ``backend.yml`` takes on the back-end."""
        begun = time.perf_counter()
        self.play(self.backend, SITE, f"--limit={HOST}", *words)
        return time.perf_counter() - begun

    def module_starts(self) -> int:
        """How many tasks of an unchanged run start a module on the back-end."""
        said = self.play(
            self.backend, SITE, f"--limit={HOST}", ANSIBLE_STDOUT_CALLBACK="ansible.posix.json"
        )
        tasks = [task for play in json.loads(said)["plays"] for task in play["tasks"]]
        return sum(starts_module(task["hosts"][HOST]) for task in tasks if HOST in task["hosts"])


def starts_module(result: dict[str, Any]) -> bool:
    """Whether a task's result came from the host. A loop counts once."""
    action = result.get("action", "").rpartition(".")[2]
    return not result.get("skipped") and action not in ON_CONTROLLER | {"validate_argument_spec"}


def provisioning() -> Iterator[Row]:
    old = build_before()
    if old is None:
        return
    ours, base = Bed("bench-ours", TOP), Bed("bench-base", old)
    try:
        yield first_runs(ours, base)
        yield second_runs(ours, base)
        counts = ([float(bed.module_starts())] for bed in (ours, base))
        yield row("modules started by an unchanged backend.yml / before", *counts)
        if PEER_ROLE:
            yield comparable_part(ours, base)
        yield many_hosts(ours)
    finally:
        for bed in (ours, base):
            bed.down()


def first_runs(ours: Bed, base: Bed) -> Row:
    """On bare hosts. The first turn downloads packages, and does not count."""
    times: dict[str, list[float]] = {ours.name: [], base.name: []}
    for turn in range(TURNS):
        for bed in (ours, base):
            bed.down()
            bed.up()
            # the registry's authority must be there
            bed.play(bed.backend, SITE, "--limit=registry")
            seconds = bed.provision()
            if turn > 0:
                times[bed.name].append(seconds)
    return row("first backend.yml / before", times[ours.name], times[base.name])


def second_runs(ours: Bed, base: Bed) -> Row:
    times: dict[str, list[float]] = {ours.name: [], base.name: []}
    for _turn in range(TURNS):
        for bed in (ours, base):
            times[bed.name].append(bed.provision())
    return row("unchanged backend.yml / before", times[ours.name], times[base.name])


def comparable_part(ours: Bed, other: Bed) -> Row:
    """Packages, the four files of the container tools, lingering of two users; a second run."""
    peer = str(HERE / "peer.yml")
    words = (f"--limit={HOST}", f"--extra-vars=peer_role={PEER_ROLE}")
    other.play(peer, *words)
    theirs, mine = [], []
    for _turn in range(TURNS):
        begun = time.perf_counter()
        other.play(peer, *words)
        theirs.append(time.perf_counter() - begun)
        nobody = json.dumps({"podman_verify_users": []})
        part = ("--tags=always,container_storage,podman", f"--extra-vars={nobody}")
        mine.append(ours.provision(*part))
    return row("unchanged storage and podman / linux-system-roles.podman", mine, theirs)


def many_hosts(bed: Bed) -> Row:
    """All hosts at once beside one host as often; all of them unchanged."""
    many = Bed("bench-many", TOP)
    names = [f"bench-many-{number}" for number in range(HOSTS)]
    try:
        for name in names:
            run([TOP / "testbed/hosts", "up", HOST], environ={"TESTBED": name})
        gather_in_one_inventory(bed.name, many.name, names)
        words = (many.backend, SITE, "--limit=ces_backends", f"--forks={HOSTS}")
        many.play(str(TOP / "testbed/people.yml"))
        many.play(*words)
        together, one = [], []
        for _turn in range(TURNS):
            begun = time.perf_counter()
            many.play(*words)
            together.append(time.perf_counter() - begun)
            one.append(HOSTS * bed.provision())
    finally:
        for name in names:
            run([TOP / "testbed/hosts", "down"], environ={"TESTBED": name})
    return row("unchanged backend.yml on eight hosts / on one, eight times", together, one)


def gather_in_one_inventory(source: str, target: str, names: list[str]) -> None:
    """An inventory like another one, whose back-ends are the hosts of several sets."""
    inventory = yaml.safe_load((inventory_of(source) / "hosts.yml").read_text())
    hosts = {}
    for name in names:
        other = yaml.safe_load((inventory_of(name) / "hosts.yml").read_text())
        hosts[name] = other["all"]["children"]["ces_backends"]["hosts"][HOST]
    inventory["all"]["children"] = {"ces_backends": {"hosts": hosts}}
    place = inventory_of(target)
    place.mkdir(parents=True, exist_ok=True)
    (place / "hosts.yml").write_text(yaml.safe_dump(inventory))
    variables = place / "group_vars"
    if not variables.exists():
        variables.symlink_to(TOP / "testbed/group_vars")


def collection_of(checkout: Path) -> str:
    """A directory of collections: tre.ces is that checkout, all others are the usual ones."""
    usual = TOP / "build/collections"
    if checkout == TOP:
        return str(usual)
    place = checkout / "build/collections"
    (place / "ansible_collections/tre").mkdir(parents=True, exist_ok=True)
    for source in (usual / "ansible_collections").iterdir():
        link = place / "ansible_collections" / source.name
        if source.name != "tre" and not link.exists():
            link.symlink_to(source)
    own = place / "ansible_collections/tre/ces"
    if not own.exists():
        own.symlink_to(checkout)
    return str(place)
