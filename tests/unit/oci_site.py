# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of unpacked images share: a registry with one image. No engine runs."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from recording import DIGEST, REGISTRY, BackEnd

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    Busy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.images import (
    remove_image,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.make_bundle import (
    Made,
    make_bundle,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.pull import Pulled, pull_image
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import (
    ImageRef,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Directories,
    PullSpec,
    RunSpec,
)

NAME = f"{REGISTRY}/app:1"
IMAGE = ImageRef.parse(NAME)
SPEC = RunSpec(IMAGE, "oci", env={"TOKEN": "s3cret"}, directories=Directories(project="p1"))
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def config_of_image(**config: Any) -> dict[str, Any]:
    machine = os.uname().machine
    return {"architecture": MACHINES.get(machine, machine), "os": "linux", "config": config}


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@dataclass
class Site(BackEnd):
    """A back-end that has the programs, and a registry whose image has one digest.

    :param image: what the image's configuration says.
    """

    image: dict[str, Any] = field(default_factory=dict)


def pull(site: Site, **changes: Any) -> Pulled:
    return pull_image(PullSpec(IMAGE, "oci", **changes), site.system)


def store(site: Site) -> Path:
    return site.home / ".local/share/ces/bundles"


def unpacked(site: Site) -> Path:
    return store(site) / "digests" / DIGEST.replace(":", "-")


def seen_by_crun(site: Site) -> dict[str, Any]:
    """What is there for crun while it runs."""
    seen = {}

    def crun(command: Command, _streams: Streams) -> Finished:
        private = Path(command.argv[-2].partition("=")[2])
        seen["config"] = json.loads((private / "config.json").read_text())
        seen["mode"] = stat.S_IMODE((private / "config.json").stat().st_mode)
        seen["cid"] = (private / "cid").read_text()
        root = Path(seen["config"]["root"]["path"])
        seen["root"] = sorted(path.name for path in root.iterdir())
        layer = seen["config"]["mounts"][0]["options"]
        (upper,) = [word.partition("=")[2] for word in layer if word.startswith("upperdir=")]
        seen["room"], seen["layers"] = Path(upper).parent, sorted(os.listdir(Path(upper).parent))
        seen["private"] = {"root", "hosts"} <= set(os.listdir(private)) and private / "root" == root
        with pytest.raises(Busy, match="a run uses it"):
            remove_image(IMAGE, site.system, "oci")
        return Finished(command.argv, 0)

    site.process.then("crun --root", crun)
    return seen


def bundle(site: Site, **more: bool) -> Made:
    directories = Directories(project="p1", outputs=f"{site.home}/out")
    spec = replace(SPEC, directories=directories)
    return make_bundle(spec, str(site.home / "b"), site.system, **more)
