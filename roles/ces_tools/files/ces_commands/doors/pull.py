# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-pull``."""

from __future__ import annotations

import json
import os

from ces.engines.table import runner_named
from ces.services.image_files import digest_of_file, link_here
from ces.services.pull import Pulled, pull_image
from ces.services.session import session
from ces.system.system import System
from ces.values.image import ImageRef
from ces.values.spec import PullSpec

from ces_commands.doors.common import runner_for, system_for
from ces_commands.doors.credentials import credentials
from ces_commands.parse import Parsed


def main(parsed: Parsed) -> int:
    """Pull an image; 0 when storage has what the registry has."""
    image = ImageRef.parse(parsed.operands[0])
    given = credentials(parsed)
    system = system_for(parsed, echo=not parsed.on("json"))
    spec = PullSpec(image, runner_for(parsed, system), given, parsed.on("force"))
    link = f"{os.getcwd()}/{image.short_name}.sif"
    reuse = parsed.on("reuse_sif") and os.path.lexists(link)
    look_only = reuse or parsed.on("dry_run")
    with session(system, change=not look_only):
        pulled = pull_image(spec, system, check_only=look_only)
    if reuse:
        _say_if_stale(link, pulled, system)
    elif (file := _file(spec, pulled)) and not parsed.on("dry_run"):
        link_here(file, link, parsed.on("force"))
    if parsed.on("json"):
        print(json.dumps(_as_dict(spec, pulled)))
    else:
        print(_sentence(spec, pulled, parsed.on("dry_run")))
    return 0


def _file(spec: PullSpec, pulled: Pulled) -> str | None:
    """The image's file, where images of this engine are files to be named."""
    return pulled.image.file if pulled.image and runner_named(spec.runner).files else None


def _say_if_stale(link: str, pulled: Pulled, system: System) -> None:
    if digest_of_file(link) == pulled.digest:
        system.tell(f"{link} is what the registry has")
    else:
        system.tell(f"warning: {link} is stale: the registry has {pulled.digest}")


def _sentence(spec: PullSpec, pulled: Pulled, dry_run: bool) -> str:
    if not pulled.changed:
        return f"{spec.image}: unchanged ({pulled.digest})"
    if dry_run:
        return f"{spec.image}: would be pulled ({pulled.digest})"
    return f"{spec.image}: pulled ({pulled.digest})"


def _as_dict(spec: PullSpec, pulled: Pulled) -> dict[str, object]:
    return {
        "image": str(spec.image),
        "changed": pulled.changed,
        "digest": pulled.digest,
        "previous_digest": pulled.previous,
        "id": pulled.image.id if pulled.image else None,
    }
