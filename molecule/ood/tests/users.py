# SPDX-License-Identifier: GPL-3.0-or-later
"""A portal as its users reach it: they fill in forms, their jobs run, they read the cards."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import yaml
from remote import Done, Host, Person, wait_until

INVENTORY = Path(os.environ["TESTBED_INVENTORY"])
SITE: dict[str, Any] = yaml.safe_load((INVENTORY / "group_vars/all.yml").read_text())
TOP = Path(__file__).resolve().parents[3]
PORTAL = "".join((TOP / "tests/ood" / name).read_text() for name in ("page.rb", "portal.rb"))
APPS = "/var/www/ood/apps/sys"
CLUSTERS = "/etc/ood/config/clusters.d"
IMAGE = SITE["testbed_image"]
TOKEN = SITE["testbed_registry_password"]
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


@dataclass(frozen=True)
class Session:
    """A launch: the session's directory on the portal, and its job."""

    user: User
    app: str
    id: str
    directory: str
    job: int

    def facts(self) -> dict[str, str]:
        """What Slurm knows of the job; it forgets some minutes after the end."""
        said = self.user.host.root(f"scontrol show --oneliner job {self.job}")
        return dict(word.partition("=")[::2] for word in said.split() if "=" in word)

    def wait_for(self, *states: str, seconds: float = 90) -> dict[str, str]:
        wait_until(
            lambda: self.facts()["JobState"] in states,
            f"job {self.job} to be {' or '.join(states)}: {self.log()}",
            seconds,
        )
        return self.facts()

    def end(self) -> Session:
        """Wait until the job is over, and all that belongs to it."""
        self.wait_for(*OVER)
        wait_until(
            lambda: not self.user.host.root(f"squeue -h -j {self.job} 2>/dev/null || true").strip(),
            "its end",
        )
        return self

    def file(self, name: str) -> str:
        return self.user.run(f"cat {shlex.quote(f'{self.directory}/{name}')}").out

    def files(self) -> set[str]:
        return set(
            self.user.run(f"cd {shlex.quote(self.directory)} && find . -mindepth 1 -printf '%P\n'")
            .ok()
            .out.split()
        )

    def log(self) -> str:
        return self.file("output.log")

    def card(self, completed: bool = False) -> dict[str, str]:
        (card,) = self.user.ask({"card": self.id, "app": self.app, "completed": completed})
        return dict(card)

    def outcome(self) -> dict[str, str]:
        """The completed view's table, and its state and headline."""
        html = self.card(completed=True)["completed"]
        return read_card(html)


def read_card(html: str) -> dict[str, str]:
    """The rows of a card's table, its links, and its headline."""
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td></tr>', html)
    links = re.findall(r'<li>(\w+): <a href="[^"]*">(.*?)</a></li>', html)
    headline = [("headline", text) for text in re.findall(r"<strong>(.*?)</strong>", html)]
    return {unescape(name): unescape(value) for name, value in [*rows, *links, *headline]}


class User(Person):
    """Somebody who uses the portal; they log in on its host."""

    @classmethod
    def named(cls, name: str, portal: Host) -> User:
        (uid,) = (person["uid"] for person in SITE["testbed_people"] if person["name"] == name)
        return cls(portal, name, uid, IMAGE)

    def ask(self, *wanted: dict[str, Any], version: str = "4.0") -> list[Any]:
        """What the portal's server of this user answers."""
        places = {
            "version": version,
            "apps": APPS,
            "clusters": CLUSTERS,
            "data": f"{self.home}/ondemand/data",
            "do": wanted,
        }
        done = self.command("ruby", "-W0", "-e", PORTAL, stdin=json.dumps(places))
        answers: list[Any] = json.loads(done.ok().out)
        return answers

    def form(self, app: str) -> dict[str, Any]:
        return dict(self.ask({"form": app})[0])

    def try_launch(self, app: str, **values: Any) -> dict[str, Any]:
        return dict(self.ask({"launch": app, "values": {"cluster": "tre", **values}})[0])

    def launch(self, app: str, **values: Any) -> Session:
        answer = self.try_launch(app, **values)
        assert "error" not in answer, answer
        return Session(self, app, answer["id"], answer["directory"], int(answer["job"]))

    def container(self, **values: Any) -> Session:
        """Launch hello-tre with a token, as the form has it."""
        sent = {
            "image": IMAGE,
            "registry_user": SITE["testbed_registry_user"],
            "registry_token": TOKEN,
            "memory": "1",
        }
        return self.launch("batch_container_app", **{**sent, **values})


def playbook(name: str, *options: str) -> Done:
    """Run one of our playbooks on the scenario's hosts."""
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    inventories = [f"--inventory={INVENTORY}", f"--inventory={TOP}/molecule/ood/inventory.yml"]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
        "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(TOP / "build/collections"),
        "ANSIBLE_HOME": str(TOP / "build/ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "true",
    }
    done = subprocess.run(
        [program, *inventories, *options, str(TOP / "playbooks" / name)],
        capture_output=True,
        text=True,
        cwd=TOP,
        env=environment,
        timeout=300,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
