# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end with homes of its own, as a user of the portal reaches it."""

from __future__ import annotations

import shlex
import uuid
from dataclasses import dataclass
from typing import Any

from remote import Done, Host, wait_until
from users import Session, User

COMMANDS = "/usr/local/lib/tre-ces-remote/clusters/island"
TICKETS = ".local/state/ces/remote/island"
# as the portal asks for a job's state: fields end with a character that no value has
FIELDS = "JobID:\x1f,StateCompact:\x1f,State:\x1f"
SECRET = 'one-shot $(id) `id` "it\'s"'  # noqa: S105  what must be seen nowhere


@dataclass(frozen=True)
class Job:
    """A job on the island, with its directory on the portal."""

    user: Traveller
    id: str
    directory: str

    def poll(self) -> Done:
        """As the portal does it for a card."""
        words = ["--all", "--states=all", "--noconvert", "-O", FIELDS, "-j", self.id]
        return self.user.slurm("squeue", *words)

    def state(self) -> str:
        """What the portal would make of it: nothing is an error, which counts as undetermined."""
        done = self.poll()
        if done.rc != 0:
            # Slurm has forgotten it
            return "CD" if "Invalid job id" in done.err else ""
        row = [line for line in done.out.split("\n") if line.startswith(self.id)]
        return row[0].split("\x1f")[1].strip() if row else "CD"

    def wait_for(self, *states: str, seconds: float = 40) -> None:
        wait_until(lambda: self.state() in states, f"{self.id} to be {states}", seconds)

    def end(self) -> None:
        self.wait_for("CD", "F", "CA", "TO")

    def file(self, name: str) -> str:
        return self.user.here(f"cat {shlex.quote(f'{self.directory}/{name}')}").out

    def is_open(self) -> bool:
        return self.user.here(f"test -e {TICKETS}/{self.id}.json").rc == 0


@dataclass(frozen=True)
class Traveller:
    """A user of the portal, who has an account and a home on the island too."""

    name: str
    portal: Host
    island: Host

    @property
    def home(self) -> str:
        return f"/home/{self.name}"

    def here(self, script: str, stdin: str = "", timeout: float = 60) -> Done:
        return self.portal.run(self.name, script, stdin, timeout)

    def there(self, script: str, stdin: str = "") -> Done:
        return self.island.run(self.name, script, stdin)

    def slurm(self, command: str, *words: str, stdin: str = "", before: str = "") -> Done:
        """A command of Slurm as the portal's server calls it, which has no session."""
        line = shlex.join([f"{COMMANDS}/{command}", *words])
        return self.here(f"unset XDG_RUNTIME_DIR; {before} {line}", stdin)

    def stage(self, prepare: str = "true") -> str:
        """A session's directory, as the portal makes one."""
        directory = f"{self.home}/ondemand/data/sys/dashboard/batch_connect/test/{uuid.uuid4()}"
        self.here(
            f"mkdir -p {directory} && chmod 700 {directory} && cd {directory} && {prepare}"
        ).ok()
        return directory

    def try_submit(self, directory: str, script: str, *options: str, before: str = "") -> Done:
        words = ["-D", directory, "-J", "a job", "-o", f"{directory}/output.log", *options]
        text = f"#!/bin/bash\ncd {directory}\n{script}\n"
        return self.slurm("sbatch", *words, "--parsable", stdin=text, before=before)

    def submit(self, script: str, *options: str, prepare: str = "true") -> Job:
        directory = self.stage(prepare)
        done = self.try_submit(directory, script, "--export", "NONE", *options).ok()
        return Job(self, done.out.strip(), directory)

    def launch_container(self, **values: Any) -> tuple[Job, Session]:
        """From the portal's form, with a token."""
        user = User.named(self.name, self.portal)
        session = user.container(cluster="island", **values)
        return Job(self, str(session.job), session.directory), session

    def with_secret(self) -> str:
        return f"umask 077; printf %s {shlex.quote(SECRET)} >registry-token"

    def traces(self, word: str) -> str:
        """Files of either side that hold a word."""
        places = "/home /tmp /var/tmp /run/user /var/log /var/spool /var/lib/slurm /etc/ces"
        look = f"grep -rlF --devices=skip -e {shlex.quote(word)} {places} 2>/dev/null; true"
        return self.portal.root(look) + self.island.root(look)

    def processes(self, word: str) -> str:
        """Processes of either side that have a word among their arguments."""
        look = "grep -lFz -f - /proc/[0-9]*/cmdline 2>/dev/null; true"
        return self.portal.root(look, stdin=word) + self.island.root(look, stdin=word)


def make_key(user: Traveller, *, accepted: bool = True, passphrase: str = "") -> None:
    make = f"mkdir -p -m 700 .ssh; ssh-keygen -q -t ed25519 -N '{passphrase}' -f .ssh/id_ed25519"
    key = user.here(f"test -e .ssh/id_ed25519 || {{ {make}; }}; cat .ssh/id_ed25519.pub").ok().out
    if accepted:
        user.there(
            "grep -qxF -f - .ssh/authorized_keys || exit 1", stdin=key
        ).rc == 0 or user.there("cat >>.ssh/authorized_keys", stdin=key).ok()


def stop_ssh(user: Traveller) -> None:
    """The island is not to be reached by its users, and their connections are gone."""
    user.island.root(
        "systemctl stop ssh.socket ssh.service 2>/dev/null; pkill -KILL -u carol sshd; true"
    )


def start_ssh(user: Traveller) -> None:
    user.island.root("systemctl start ssh")
    user.here("rm -f /tmp/ces-remote-*/*/down /run/user/*/ces-remote/*/down 2>/dev/null; true")
