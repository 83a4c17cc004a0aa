# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end on which no engine runs: what services tell engines, write and clear away."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.cgroup import Limiting
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.system.records import Records
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import StopSignals
from ansible_collections.tre.ces.plugins.module_utils.ces.system.system import System
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import (
    AllowedRegistry,
    Policy,
    SafeData,
)

REGISTRY = "registry.example.org"
DIGEST = "sha256:" + "1" * 64
Answer = Callable[[Command, Streams], Finished]
_AS_USUAL = Streams()


@dataclass
class RecordingProcess:
    """Stands where processes are run, and runs none: it shows what they would be told.

    It proves argument lists, environment and files at that moment, and no behaviour of engines.

    :param answers: what a command's words begin with, and what is then answered, the last first.
    :param starts_containers: podman notes a container's monitor, as it does when it started one.
    """

    answers: list[tuple[str, Answer]] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    signals: StopSignals | None = None
    starts_containers: bool = True

    def told_to_stop(self) -> str:
        return self.signals.received if self.signals else ""

    def run(self, command: Command, streams: Streams = _AS_USUAL) -> Finished:
        self.commands.append(command)
        words = " ".join(command.argv)
        if self.starts_containers and words.startswith("podman run"):
            (path,) = (word for word in command.argv if word.startswith("--conmon-pidfile="))
            Path(path.partition("=")[2]).touch()
        for beginning, answer in reversed(self.answers):
            if words.startswith(beginning):
                return answer(command, streams)
        return Finished(command.argv, 0)

    def answer(self, beginning: str, rc: int = 0, stdout: str = "", stderr: str = "") -> None:
        """From now on commands that begin so end so."""
        self.then(beginning, lambda command, _s: Finished(command.argv, rc, stdout, stderr))

    def then(self, beginning: str, answer: Answer) -> None:
        """From now on this is done for commands that begin so."""
        self.answers.append((beginning, answer))

    def told(self, beginning: str) -> list[tuple[str, ...]]:
        """The argument lists of the commands that began so."""
        return [c.argv for c in self.commands if " ".join(c.argv).startswith(beginning)]


@dataclass
class BackEnd:
    """A user's place on a back-end, and the system as services have it."""

    place: Path
    system: System
    process: RecordingProcess
    said: list[str]
    environ: dict[str, str]

    @property
    def home(self) -> Path:
        return self.place / "home"

    def has_image(self, name: str, digest: str = DIGEST) -> None:
        """From now on the image is in storage."""
        found: dict[str, Any] = {
            "id": f"sha256:{'a' * 64}",
            "digest": digest,
            "digests": [],
            "names": [name],
        }
        found |= {"size": 5, "created": "", "architecture": "amd64", "os": "linux"}
        found["digests"] = [f"{name.rpartition(':')[0]}@{digest}"]
        self.process.answer("podman image inspect", stdout=json.dumps(found))

    def files(self) -> dict[str, str]:
        """Every file and directory, with contents and modes: to see that nothing changed."""
        return {
            str(path.relative_to(self.place)): f"{path.lstat().st_mode:o} "
            + (path.read_text() if path.is_file() else "")
            for path in sorted(self.place.rglob("*"))
        }

    def everything_written(self) -> str:
        """Names and contents of all files that are there, to look for secrets in."""
        return repr(self.files())


class OneImageRegistry:
    """Stands where a registry is asked: each name there has the same digest."""

    def __init__(self, *_asked: object, **_how: object) -> None:
        pass

    def digest(self) -> str:
        return DIGEST

    def check_size(self, _limit: int | None) -> None:
        pass

    def compressed_size(self) -> int:
        return 1


def make_backend(tmp_path: Path) -> BackEnd:
    """Ada's home, her project p1, an empty storage, and names of engines on her PATH."""
    for path in ("home", "safe_data/p1", "run", "bin", "copies"):
        (tmp_path / path).mkdir(parents=True)
    for engine in ("podman", "apptainer", "crun", "skopeo", "umoci"):
        (tmp_path / "bin" / engine).touch(mode=0o755)
    environ = {"XDG_RUNTIME_DIR": f"{tmp_path}/run", "PATH": f"{tmp_path}/bin"}
    account = Account("ada", os.geteuid(), f"{tmp_path}/home", ("ada", "tre-p1"), environ)
    policy = Policy(
        registries=(AllowedRegistry(REGISTRY),),
        mount_roots=("~", f"{tmp_path}/safe_data"),
        safe_data=SafeData(f"{tmp_path}/safe_data"),
        audit_syslog=False,
    )
    said: list[str] = []
    process = RecordingProcess()
    copies = "podman info --format {{.Store.ImageCopyTmpDir}}"
    process.answer(copies, stdout=f"{tmp_path}/copies\n")
    process.answer("podman image inspect", 125, stderr="Error: no such image\n")
    limiting = Limiting(frozenset({"cpu", "memory"}))
    system = System(account, policy, process, Records(account.state), limiting, "host", said.append)
    return BackEnd(tmp_path, system, process, said, environ)
