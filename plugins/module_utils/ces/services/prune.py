# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the images that were not used for a long time, and remove them."""

from __future__ import annotations

import os
import time

from ..dataclass import dataclass
from ..engines.images.store import LocalImage
from ..errors import CesError
from ..system.job_files import JobFiles
from ..system.system import System
from ..system.uses import Uses
from ..typed import Any, Iterator, Sequence
from ..values.image import ImageRef
from ..values.quantities import spell_bytes
from ..values.record import LIVE, utc_second
from .images import list_images, remove_image

_DAY = 86_400
_STALE = 366
"""Days for which the mark of an image stays that this host does not have, at least."""
_NAMED_MAX = 3
"""Images that a message names."""


@dataclass(frozen=True)
class Pruned:
    """What a pruning did with an image, or would do.

    :param used: when it was last used, in seconds since the epoch; None if no use of it is known.
    :param kept: why it stays; empty if it goes.
    """

    name: str
    image: LocalImage
    used: float | None
    kept: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {
            "image": self.name,
            "runner": self.image.runner,
            "digest": self.image.digest,
            "size": self.image.size,
            "used": when(self.used),
            "removed": not self.kept,
            "kept": self.kept,
        }


def when(used: float | None) -> str | None:
    """A last use as listings have it."""
    return None if used is None else utc_second(used)


def described(image: LocalImage, system: System) -> dict[str, Any]:
    """An image for results, with its last use."""
    used = Uses(system.account.state).last(*_mark(image))
    return {**image.as_dict(), "used": when(used)}


def prune_images(system: System, days: int, check_only: bool = False) -> Iterator[Pruned]:
    """Remove the user's images whose last use is that many days ago; tells of each one in turn.

    An image of which no use is known is kept, and its days begin now. Images for all users are
    kept, too: when others used them nobody knows.

    :param check_only: remove nothing, and begin no days.
    """
    uses, before = Uses(system.account.state), time.time() - days * _DAY
    images = sorted(list_images(system), key=lambda image: (image.runner, image.names))
    # an image with two names has one mark: it is read before the image goes
    marks = {_mark(image): uses.last(*_mark(image)) for image in images}
    left, needed = set(), _of_live_runs(system)
    for image in images:
        used = marks[_mark(image)]
        for name in image.names:
            kept = _why_needed(image, (name,), needed, system) or _why_young(used, before)
            if not (kept or check_only):
                kept = _remove(name, image, system)
            if kept:
                left.add(_mark(image))
            yield Pruned(name, image, used, kept)
    if not check_only:
        for mark, used in marks.items():
            if mark not in left:
                uses.forget(*mark)
            elif used is None:
                uses.note(*mark)
        # hosts that share a home share the marks: a mark may be of an image of another host
        uses.forget_before(before - max(_STALE, 10 * days) * _DAY, left)


def _mark(image: LocalImage) -> tuple[str, str]:
    return image.runner, image.id


def _why_needed(
    image: LocalImage,
    names: Sequence[str],
    needed: set[str | tuple[str, str]],
    system: System,
) -> str:
    """Why others than the user's next runs want the image by these names; empty if none does."""
    if _is_for_all(image, system):
        return "it is for all users"
    return "a run needs it" if {*names, _mark(image)} & needed else ""


def _why_young(used: float | None, before: float) -> str:
    """Why an image stays by its last use; empty if that was before."""
    if used is None:
        return "no use of it is known: its days begin now"
    return "it was used since" if used >= before else ""


def _remove(name: str, image: LocalImage, system: System) -> str:
    """Remove a name of an image; returns why that failed."""
    try:
        remove_image(ImageRef.parse(name), system, image.runner)
    except CesError as error:
        return error.said
    return ""


def _of_live_runs(system: System) -> set[str | tuple[str, str]]:
    """Names and marks of the images of runs that wait or run, on whatever host."""
    needed: set[str | tuple[str, str]] = set()
    for number in (*system.records.active(), *JobFiles(system.account.state).expected()):
        try:
            record = system.records.load(number)
        except CesError:
            continue
        if record.state in LIVE:
            needed |= {record.image, (record.runner, record.image_id or "")}
    return needed


def _is_for_all(image: LocalImage, system: System) -> bool:
    shared = (system.policy.sif_dir, system.policy.bundle_dir)
    places = [os.path.realpath(path) for path in shared if path is not None]
    return image.file is not None and os.path.realpath(image.file).startswith(
        tuple(f"{place}/" for place in places)
    )


def room_makers(system: System) -> str:
    """What a message says of the images whose removal would make room: the longest unused ones."""
    uses, needed = Uses(system.account.state), _of_live_runs(system)
    try:
        images = list_images(system)
    except CesError:  # an engine that cannot even list has other troubles
        return ""
    ages = [
        (uses.last(*_mark(image)) or 0, image)
        for image in images
        if image.names and not _why_needed(image, image.names, needed, system)
    ]
    ages.sort(key=lambda pair: pair[0])
    return ", ".join(
        f"ces-rm {image.runner} {image.names[0]} ({spell_bytes(image.size)}, last used"
        f" {when(used) if used else 'before this was noted'})"
        for used, image in ages[:_NAMED_MAX]
    )
