# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end that an earlier version provisioned, and that was used: its people, its playbooks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from remote import Done, Host, Person, logged_in, wait_until
from verifying import ENVIRONMENT, TOP

INVENTORY = Path(os.environ["TESTBED_INVENTORY"])
SITE_FILE = Path(os.environ["TESTBED_SITE"])
SITE = yaml.safe_load((INVENTORY / "group_vars/all.yml").read_text())
WAITING = "--project proj1 --opt-file ~/options --arg-file ~/arguments"
"""Options of a run that ends with 9 when it is told to."""
HOST = "debian12"


class User(Person):
    """Somebody who has used the back-end."""

    def runs(self) -> list[dict[str, Any]]:
        """What the command tells of all runs, the oldest first."""
        found = json.loads(self.run("ces-runs --json").ok().out)
        return sorted(found, key=lambda run: int(run["run_id"]))

    def state(self, number: int) -> tuple[str, int | None]:
        """How a run ended, if it has."""
        run = next(one for one in self.runs() if one["run_id"] == number)
        return run["state"], run["rc"]

    def begin(self, engine: str) -> int:
        """Start a run that waits until it is told to end; its number, when it runs."""
        begun = f"setsid ces-run {engine} {WAITING} {self.image} >~/begun 2>&1 </dev/null &"
        number = int(self.runs()[-1]["run_id"]) + 1
        self.run(begun).ok()
        wait_until(lambda: self.run(f"test -d ~/scratch-{number}").rc == 0, "the run to begin")
        wait_until(lambda: self.state(number)[0] == "RUNNING", "the run to begin")
        return number

    def end(self, number: int) -> tuple[str, int | None]:
        """Tell a waiting run to end; how it ended."""
        self.run(f"touch ~/outputs-{number}/end").ok()
        wait_until(lambda: self.state(number)[0] != "RUNNING", f"run {number} to end", 40)
        return self.state(number)

    def stop(self, number: int) -> tuple[str, int | None]:
        self.run(f"ces-stop {number}").ok()
        return self.state(number)

    def left(self) -> str:
        """Containers, processes, scratch directories and secrets of runs."""
        return self.run(
            "podman ps -q; ls -d ~/scratch-* /run/user/$(id -u)/ces/run-* 2>/dev/null;"
            " pgrep -lu $(id -u) 'conmon|crun|ces-'; true"
        ).out


class Site:
    """The back-end, which has another address after it was restarted."""

    backend: Host
    alice: User
    bob: User

    def __init__(self) -> None:
        self._session = ExitStack()
        self.log_in()

    def log_in(self) -> None:
        self.log_out()
        self.backend = self._session.enter_context(logged_in(INVENTORY))[HOST]
        self.alice = User(self.backend, "alice", 2001, SITE["testbed_image"])
        self.bob = User(self.backend, "bob", 2002, SITE["testbed_image"])

    def log_out(self) -> None:
        self._session.close()

    def restart(self) -> None:
        """As a machine restarts: all processes end, and what is in memory is gone."""
        self.backend.run("root", "systemctl poweroff")
        for words in (["in-namespace", "podman", "wait", container()], ["hosts", "up", HOST]):
            subprocess.run([TOP / "testbed" / words[0], *words[1:]], check=True, timeout=120)
        self.log_in()


def container() -> str:
    instance = os.environ.get("TESTBED", "")
    return f"tre-ces-{instance}-{HOST}" if instance else f"tre-ces-{HOST}"


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.log_out()


def playbook(*options: str) -> Done:
    """Provision the back-end with today's version."""
    program = Path(sys.executable).with_name("ansible-playbook")
    argv = [str(program), f"--inventory={INVENTORY}", f"--extra-vars=@{SITE_FILE}"]
    argv += ["--limit=ces_backends", *options, str(TOP / "playbooks/backend.yml")]
    done = subprocess.run(
        argv, capture_output=True, text=True, cwd=TOP, env=ENVIRONMENT, timeout=600, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr).ok()


def changed(done: Done) -> int:
    """How many tasks changed something on the back-end."""
    return int(re.findall(rf"^{HOST} .* changed=(\d+)", done.out, re.M)[0])


def all_is_there(user: User) -> None:
    """What the user had before anything was upgraded (files/use)."""
    images = user.run("podman images --digests --format '{{.ID}} {{.Digest}}'").ok().out
    assert images == user.run("cat ~/images-before").out
    listed = user.run("ces-images").ok().out
    assert {line.split()[1] for line in listed.splitlines()[1:]} >= {"podman", "oci"}
    assert "Exited (7)" in user.run("podman ps --all --filter name=ended").out
    again = user.run("podman start --attach ended")
    assert (again.rc, again.out) == (7, "said\n")
    read = f"--entrypoint /bin/cat {user.image} /data/file"
    assert user.run(f"podman run --rm --volume data:/data {read}").ok().out == "kept\n"
    old = user.runs()[:2]
    assert [(run["state"], run["rc"]) for run in old] == [("COMPLETED", 0)] * 2
    assert f"image:       {user.image}" in user.run("ces-runs 1").ok().out
    assert "Goodbye podman!" in user.run("cat ~/.local/state/ces/runs/1/output.log").ok().out
    assert user.host.run("root", f"test -e /var/lib/systemd/linger/{user.name}").rc == 0


def runs_work(user: User, *engines: str) -> None:
    for engine in engines:
        done = user.run(f"ces-run {engine} --project proj1 {user.image} -n {engine}")
        assert f"Goodbye {engine}!" in done.ok().out
