# SPDX-License-Identifier: GPL-3.0-or-later
"""Apps as they are installed, rendered by Ruby on this machine; see ood/portal_server.rb."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from support import loaded

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles/ood_apps/files"
APPS = sorted(path.name for path in (FILES / "apps").iterdir() if path.is_dir())
JUPYTER = {"jupyter_image": "registry.example.org/site/jupyterlab:1.0"}
VERSIONS = ("4.0", "4.1", "4.2")
"""Portals that we promise to work with, as tests/ood/portal.rb tells them apart."""
LARGE: dict[str, Any] = {
    **JUPYTER,
    "max_cores": 8,
    "max_memory": 16,
    "max_gpus": 2,
    "runners": ["podman", "apptainer"],
    "partition": "batch",
}
SMALL: dict[str, Any] = {
    **JUPYTER,
    "max_cores": 2,
    "max_memory": 4,
    "max_gpus": 0,
    "runners": ["podman"],
}


class Ruby:
    """Ruby with the portal loaded. It starts at the first request and answers until its end."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def answers(self, request: dict[str, Any]) -> list[Any]:
        process = self._process = self._process or subprocess.Popen(
            ["ruby", "-W0", Path(__file__).with_name("ood") / "portal_server.rb"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answers: list[Any] | None = json.loads(process.stdout.readline() or "null")
        assert answers is not None, "Ruby failed, and said why on its standard error"
        return answers

    def end(self) -> None:
        if self._process:
            self._process.communicate()
            self._process = None


RUBY = Ruby()


@dataclass
class Portal:
    """A portal with its apps, clusters and one user's data."""

    apps: Path
    place: Path
    bin_overrides: dict[str, str] = field(default_factory=dict)
    version: str = "4.0"

    @property
    def data(self) -> Path:
        return self.place / "data"

    def has_cluster(self, name: str, ces: dict[str, Any], title: str = "") -> None:
        said = {
            "metadata": {"title": title or name.title()},
            "login": {"host": name},
            "job": {"adapter": "slurm", "bin_overrides": self.bin_overrides},
            "custom": {"ces": ces},
        }
        file = self.place / "clusters.d" / f"{name}.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump({"v2": said}))

    def ask(self, *wanted: dict[str, Any]) -> list[Any]:
        """What the portal answers to each of the requests."""
        request = {
            "version": self.version,
            "apps": str(self.apps),
            "clusters": str(self.place / "clusters.d"),
            "data": str(self.data),
            "do": wanted,
        }
        return RUBY.answers(request)

    def form(self, app: str) -> dict[str, Any]:
        (form,) = self.ask({"form": app})
        assert "error" not in form, form
        return dict(form)

    def check(self, app: str, **values: Any) -> dict[str, Any]:
        return dict(self.ask({"check": app, "values": values})[0])

    def launch(self, app: str, submit: bool = False, **values: Any) -> dict[str, Any]:
        return dict(self.ask({"launch": app, "values": values, "submit": submit})[0])

    def completed(self, app: str, session: str) -> str:
        (card,) = self.ask({"card": session, "app": app, "completed": True})
        return str(card["completed"])


def pack_program() -> ModuleType:
    return loaded(FILES / "pack_apps.py")
