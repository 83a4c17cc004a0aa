# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of the test bed as people reach them: over ssh, as themselves. For scenarios' tests."""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    rc: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err

    def ok(self) -> Done:
        assert self.rc == 0, f"it ended with {self.rc}: {self.said}"
        return self


class Host:
    """A host of the test bed. One ssh connection for each user, with a session of its own."""

    def __init__(self, name: str, variables: dict[str, Any], sockets: Path, programs: Path) -> None:
        self.name = name
        self._sockets = sockets
        self._programs = programs
        self._address = variables["ansible_host"]
        self._options = [
            *shlex.split(variables["ansible_ssh_common_args"]),
            f"-i{variables['ansible_ssh_private_key_file']}",
            "-oControlMaster=auto",
            "-oControlPersist=yes",
            f"-oControlPath={sockets}/{name}-%r",
        ]

    def _ssh(self, user: str, script: str) -> list[str]:
        return ["ssh", *self._options, f"{user}@{self._address}", script]

    def run(self, user: str, script: str, stdin: str = "", timeout: float = 60) -> Done:
        """A line of shell in a login session of the user."""
        done = subprocess.run(
            self._ssh(user, script),
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, user: str, script: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._ssh(user, script),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, user: str, *words: str, stdin: str = "", timeout: float = 60) -> Done:
        return self.run(user, shlex.join(words), stdin, timeout)

    def root(self, script: str, stdin: str = "", timeout: float = 60) -> str:
        return self.run("root", script, stdin, timeout).ok().out

    def ask(self, user: str, program: str, timeout: float = 120, **parameters: Any) -> Any:
        """What a program of on_host/ answers; it gets its parameters on standard input."""
        source = (self._programs / f"{program}.py").read_text()
        done = self.command(
            user, "python3", "-Ic", source, stdin=json.dumps(parameters), timeout=timeout
        )
        return json.loads(done.ok().out)

    def begin(self, user: str, program: str, **parameters: Any) -> subprocess.Popen[str]:
        """Start a program of on_host/ that says "ready", and answers when its input ends."""
        source = (self._programs / f"{program}.py").read_text()
        child = self.start(user, shlex.join(["python3", "-Ic", source]))
        assert child.stdin and child.stdout
        child.stdin.write(json.dumps(parameters) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "ready\n"
        return child

    def close(self) -> None:
        for socket in self._sockets.glob(f"{self.name}-*"):
            user = socket.name.rpartition("-")[2]
            subprocess.run([*self._ssh(user, "")[:-1], "-Oexit"], capture_output=True, check=False)


@dataclass(frozen=True)
class Person:
    """Somebody with an account.

    :param host: where they log in.
    :param image: what they run.
    """

    host: Host
    name: str
    uid: int
    image: str

    @property
    def home(self) -> str:
        return f"/home/{self.name}"

    def run(self, script: str, stdin: str = "", timeout: float = 120) -> Done:
        """A line of shell in a login session."""
        return self.host.run(self.name, script, stdin, timeout)

    def command(self, *words: str, stdin: str = "", timeout: float = 120) -> Done:
        return self.host.command(self.name, *words, stdin=stdin, timeout=timeout)


@contextmanager
def logged_in(inventory: Path, programs: Path = Path("on_host")) -> Iterator[dict[str, Host]]:
    """The hosts of the test bed; ``programs`` is where that is which ``ask`` and ``begin`` run."""
    known = yaml.safe_load((inventory / "hosts.yml").read_text())["all"]
    # short, because the path of a socket may have 108 characters
    with tempfile.TemporaryDirectory(prefix="ces-") as sockets:
        found = {
            name: Host(name, {**known["vars"], **variables}, Path(sockets), programs)
            for group in known["children"].values()
            for name, variables in group["hosts"].items()
        }
        try:
            yield found
        finally:
            for host in found.values():
                host.close()


def answer_of(child: subprocess.Popen[str]) -> Any:
    """What a program that was begun has to say at its end."""
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    return json.loads(out)


def wait_until(true: Callable[[], Any], what: str, seconds: float = 20) -> None:
    begin = time.monotonic()
    while not true():
        waited = time.monotonic() - begin
        assert waited < seconds, f"waited {seconds:g} s for {what}"
        # who looks costs time too, which what is waited for may lack
        time.sleep(min(max(0.05, waited / 10), 0.5))
