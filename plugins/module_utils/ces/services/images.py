# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on this back-end, whichever engine they are for."""

from __future__ import annotations

from ..engines.images.store import LocalImage, Store
from ..engines.table import known_runners, runner_named
from ..errors import NotFound
from ..system.disks import refuse_lost_disks
from ..system.system import System
from ..values.image import ImageRef


def store_of(runner: str, system: System) -> Store:
    """The storage of an engine.

    :raises InvalidValue: there is no such engine.
    :raises CesError: the disk that it is on is not there.
    """
    refuse_lost_disks()
    return runner_named(runner).store()(system)


def list_images(system: System, runner: str | None = None) -> list[LocalImage]:
    """Images of one engine, or of all that this site allows."""
    runners = [runner] if runner else known_runners(system.policy.runners)
    return [image for name in runners for image in store_of(name, system).listing()]


def remove_image(image: ImageRef, system: System, runner: str | None = None) -> list[str]:
    """Remove an image from one engine's storage, or from all; returns the engines that had it.

    :raises NotFound: none has it.
    """
    removed = []
    for name in [runner] if runner else system.policy.runners:
        try:
            store_of(name, system).remove(image)
        except NotFound:
            continue
        removed.append(name)
    if not removed:
        raise NotFound(
            f"remove image {image}", said="it is not in your storage", hint="ces-images lists all"
        )
    return removed
