# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove a portal: a user's job goes from it to each cluster, and what the job writes comes back.

The job is as small as the portal's own greeting, and is submitted as the portal submits: by the
commands that its cluster's file names, from a directory of the user's home.
"""

from __future__ import annotations

import os
import time

from ..dataclass import dataclass, field
from ..errors import CesError
from ..shown import shown
from ..system.account import Account
from ..system.files import private_directory, random_name, read_if_there, remove_tree
from ..system.host.people import first_member
from ..system.process import Finished, Streams, SystemProcess, last_lines
from ..system.slurm import ENDED, GONE, HOPELESS, hint_for
from ..typed import Any, Callable, Iterator, Mapping, Sequence
from ..values.command import Command
from ..values.finding import Finding
from .errands import Errand

CLUSTERS = "/etc/ood/config/clusters.d"
"""Where the role ood_apps writes what the portal knows of each cluster."""
REMOTE = "/usr/local/lib/tre-ces-remote/launcher"
"""Where the role ood_apps puts what reaches back-ends with homes of their own."""
_QUICK = Streams(timeout=30.0, keep=64 * 1024)
_PATIENT = Streams(timeout=90.0, keep=64 * 1024)
"""For the user's own check, which asks by ssh, and has times of its own."""
_SECONDS = 90.0
"""After which a job that has not ended is cancelled."""
_ALL_OF_IT = 300.0
"""Seconds that Slurm may take for all that it is asked: each command is given 45 at most."""
_BETWEEN_LOOKS = 1.0
_ARRIVING = 20.0
"""Seconds until a file server shows here what a node has written."""
_OPTIONS = ("-J", "tre-ces-verify", "-N", "1", "-n", "1", "--mem=64", "-t", "2", "--parsable")
_APPLY = "the administrator applies the role ood_apps (playbook portal)"
_CURE = "the administrator looks into it: the portal's log and Slurm's say more (role ood_apps)"


@dataclass(frozen=True)
class Cluster:
    """A cluster as the portal offers it.

    :param groups: whose members may use it; everybody, if empty.
    :param commands: what stands in for Slurm's commands, by their names.
    :param environment: variables that these need.
    """

    id: str
    shared_home: bool = True
    partition: str = ""
    groups: tuple[str, ...] = ()
    submit_host: str = ""
    commands: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Cluster:
        """From an entry of the role's ``ood_apps_clusters``."""
        names = ("sbatch", "squeue", "scancel")
        beside = f"{said['bin']}/" if said.get("bin") else ""
        commands = {name: f"{beside}{name}" for name in names}
        return cls(
            id=str(said["id"]),
            shared_home=said.get("shared_home", True) is not False,
            partition=str(said.get("partition") or ""),
            groups=tuple(said.get("groups") or ()),
            submit_host=str(said.get("submit_host") or ""),
            commands={**commands, **(said.get("bin_overrides") or {})},
            environment={"SLURM_CONF": str(said["conf"])} if said.get("conf") else {},
        )

    def command(self, name: str, *words: str, stdin: str | None = None) -> Command:
        """One of Slurm's commands, for this cluster."""
        program = self.commands.get(name, name)
        return Command((program, *words), self.environment, stdin, role="slurm")

    def user_of(self, users: Sequence[str]) -> str:
        """The first of these users who may use it; '' if none may."""
        return first_member(users, self.groups)


def portal_errands(users: Sequence[str], clusters: Sequence[Cluster]) -> list[Errand]:
    """A job for each cluster, as the first user who may use it."""
    chosen = [(cluster, cluster.user_of(users)) for cluster in clusters]
    return [
        Errand("greeting", user, greeting(cluster), "", f"cluster {cluster.id}", _ALL_OF_IT)
        for cluster, user in chosen
        if user
    ]


def nobody_for(users: Sequence[str], clusters: Sequence[Cluster]) -> list[str]:
    """The clusters that none of the users may use."""
    return [cluster.id for cluster in clusters if not cluster.user_of(users)]


# --- as the user ---


def greeting(cluster: Cluster) -> Callable[[], Iterator[Finding]]:
    """What a child does for it."""

    def work() -> Iterator[Finding]:
        file = f"{CLUSTERS}/{cluster.id}.yml"
        if not os.access(file, os.R_OK):
            why = f"{file} is not there, or users cannot read it"
            said = f"the portal does not offer this cluster: {why}"
            yield Finding("greeting", "fault", said, _APPLY, "ood_apps")
        elif cluster.submit_host:
            said = f"the portal submits on {cluster.submit_host}, by ssh: no job was run"
            yield Finding("greeting", "note", said)
        elif not cluster.shared_home:
            yield _way(cluster)
        else:
            yield _greeted(cluster)

    return work


def _way(cluster: Cluster) -> Finding:
    """A job would leave its directory there: what the user's own check says is enough."""
    done = SystemProcess().run(Command((REMOTE, "check", cluster.id), role="ood_apps"), _PATIENT)
    said = shown(last_lines(done.stdout or done.stderr)) or "its check gave no answer"
    if done.ok:
        return Finding("greeting", "ok", f"the user's way to the back-end works: {said}")
    return Finding(
        "greeting", "warning", f"no job can be run: {said}", "the user does what it says"
    )


def _greeted(cluster: Cluster) -> Finding:
    word = random_name()
    place = private_directory(f"{Account.current().state}/verify-{word}")
    log = f"{place}/output.log"
    options = [*_OPTIONS, "-D", place, "-o", log, "--export=NONE"]
    options += ["-p", cluster.partition] if cluster.partition else []
    script = f'#!/bin/sh\necho "{word} $(id -un)"\n'
    try:
        done = _run(cluster.command("sbatch", *options, stdin=script))
        job = done.stdout.strip().partition(";")[0]
        if not done.ok or not job.isdigit():
            return _refused(done)
        if problem := _unfinished(cluster, job):
            return problem
        if _arrived(log, word):
            return Finding("greeting", "ok", "a job ran, and the portal sees what it wrote")
        said = f"job {job} is over, and what it wrote is not in {log}"
        return Finding("greeting", "fault", said, _CURE, "ood_apps")
    except CesError as error:
        said = f"could not {error.tried}: {error.said}"
        return Finding("greeting", "fault", said, error.hint or _CURE, "ood_apps")
    finally:
        remove_tree(place)


def _arrived(log: str, word: str) -> bool:
    end = time.monotonic() + _ARRIVING
    while not read_if_there(log).startswith(f"{word} "):
        if time.monotonic() >= end:
            return False
        time.sleep(_BETWEEN_LOOKS)
    return True


def _run(command: Command) -> Finished:
    return SystemProcess().run(command, _QUICK)


def _refused(done: Finished) -> Finding:
    cure = hint_for(done.stderr) or _CURE
    return Finding("greeting", "fault", f"could not submit a job: {_words(done)}", cure, "ood_apps")


def _words(done: Finished) -> str:
    """What a command of Slurm said, or that it said nothing."""
    name = os.path.basename(done.argv[0])
    if done.stopped_by:
        return f"{name} gave no answer within {_QUICK.timeout:g} s"
    said = shown(last_lines(done.stderr))
    return said or f"{name} ended with {done.rc}, and {shown(done.stdout[:100]).strip()!r}"


def _unfinished(cluster: Cluster, job: str) -> Finding | None:
    """Why a job has not ended, which is cancelled then; None where it has."""
    end, why, mute = time.monotonic() + _SECONDS, "", False
    while time.monotonic() < end:
        done = _run(cluster.command("squeue", "-h", "-j", job, "-o", "%T|%r"))
        state, _bar, reason = done.stdout.strip().partition("|")
        # Slurm forgets a job, or says of an ended one how it ended
        if GONE in done.stderr or (done.ok and (not state or state in ENDED)):
            return None
        mute, why = not done.ok, f"{state}, {reason}" if done.ok else _words(done)
        if reason in HOPELESS:
            break
        time.sleep(_BETWEEN_LOOKS)
    cancelled = _run(cluster.command("scancel", job)).ok
    fate = "and was cancelled" if cancelled else "and could not be cancelled"
    said = f"job {job} did not end ({shown(why)}), {fate}"
    if mute or reason in HOPELESS:
        return Finding("greeting", "fault", said, hint_for(why) or _CURE, "ood_apps")
    return Finding("greeting", "warning", said, "verify later, when what it waits for is there")
