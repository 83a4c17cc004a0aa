# SPDX-License-Identifier: GPL-3.0-or-later
"""Space for images: how much there is where a pull needs it, and which images would make room."""

from __future__ import annotations

import os

from ..blocks import suppress
from ..checks.facts import Space, by_disk, room_for
from ..engines.command import FREE_SPACE
from ..engines.images.store import Room, Store
from ..errors import CesError
from ..system.host.mounts import nearest_directory
from ..system.registry import Registry
from ..system.system import System
from ..typed import Sequence
from ..values.image import ImageRef
from .prune import room_makers


def spaces_in(rooms: Sequence[Room]) -> tuple[Space, ...]:
    """The space where directories are, or will be; nothing of one whose disk does not answer."""
    found = []
    for room in rooms:
        path, makeable = nearest_directory(room.path), (room.path, os.path.dirname(room.path))
        with suppress(OSError):
            status = os.statvfs(path)
            free = status.f_bavail * status.f_frsize
            closed = not os.access(path, os.W_OK | os.X_OK)
            closed = closed or not (room.deep or path in makeable)
            found.append(Space(room.path, free, room.usual, os.stat(path).st_dev, closed))
    return tuple(found)


def check_space(image: ImageRef, registry: Registry, store: Store, system: System) -> None:
    """Refuse an image before anything is transferred whose layers alone would fill a disk.

    :raises CesError: naming the images that were not used for the longest time.
    """
    try:
        size = registry.compressed_size()
    except CesError:
        # the engine may understand what we do not
        return
    for spaces in by_disk(spaces_in(store.rooms())):
        fits, said = room_for(size, spaces)
        if not fits:
            makers = room_makers(system)
            raise CesError(
                f"pull {image}",
                said=said,
                hint=FREE_SPACE + (f". Not used for the longest time: {makers}" if makers else ""),
            )
