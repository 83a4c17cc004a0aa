# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in this user's storage."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import CesError, NotFound
from ..runners import podman
from ..runners.command import Command
from ..system.files import read_json, write_atomic
from ..system.process import Streams
from ..system.system import System
from ..values.image import ImageRef

_LISTING = 64 * 1024 * 1024
"""Bytes of a listing of images that are read: thousands of them."""


@dataclass(frozen=True)
class LocalImage:
    """An image in storage.

    :param digests: ``name@digest`` for every repository it came from; for an image of several
        platforms both the index's and the manifest's digest.
    :param size: bytes, unpacked.
    """

    id: str
    digest: str
    digests: tuple[str, ...]
    names: tuple[str, ...] = ()
    size: int = 0
    created: str = ""
    architecture: str = ""
    os: str = ""

    def digest_of(self, image: ImageRef, remote: str | None = None) -> str | None:
        """The digest by which the image's registry knows this; ``remote`` if it is one of them."""
        prefix = f"{image.name}@"
        known = [text[len(prefix) :] for text in self.digests if text.startswith(prefix)]
        if remote in known:
            return remote
        return known[0] if known else None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_image(image: ImageRef, system: System, fresh: bool = False) -> LocalImage | None:
    """The image in storage, or None.

    Asking podman costs as much as starting a container, so answers are kept until the storage changes.

    :param fresh: ask podman in any case.
    """
    cache = _Answers(system)
    kept = None if fresh else cache.get(str(image))
    if kept is not None:
        return kept
    # noted before asking: a change meanwhile must not go unseen
    stamp = cache.stamp()
    found = _inspect(str(image), system)
    if found is not None:
        cache.put(str(image), found, stamp)
    return found


def list_images(system: System) -> list[LocalImage]:
    """All images that have a name."""
    command = podman.image_list()
    finished = system.process.run(command, Streams(keep=_LISTING)).check("list the images")
    return [_from_listing(raw) for raw in json.loads(finished.stdout or "[]") if raw.get("Names")]


def remove_image(image: ImageRef, system: System) -> None:
    """Remove an image's name from storage, and its data with the last name.

    :raises NotFound: it is not there.
    :raises CesError: a container uses it.
    """
    if find_image(image, system, fresh=True) is None:
        raise NotFound(f"remove image {image}", said="it is not in your storage", hint="ces-images lists all")
    system.process.run(podman.image_remove(str(image))).check(
        f"remove image {image}", hint="a run may be using it: ces-runs lists them"
    )


def forget_answers(system: System) -> None:
    """Ask podman anew from now on."""
    _Answers(system).forget()


def _inspect(name: str, system: System) -> LocalImage | None:
    finished = system.process.run(podman.image_lookup(name), Streams(keep=_LISTING))
    if finished.rc == 125 and any(word in finished.stderr for word in ("no such image", "image not known")):
        return None
    finished.check(f"look up image {name} in storage", podman.hint(finished.stderr))
    raw = json.loads(finished.stdout)
    return LocalImage(
        id=raw["id"].removeprefix("sha256:"),
        digest=raw["digest"],
        digests=tuple(raw["digests"] or ()),
        names=tuple(raw["names"] or ()),
        size=raw["size"],
        created=raw["created"],
        architecture=raw["architecture"],
        os=raw["os"],
    )


def _from_listing(raw: dict[str, Any]) -> LocalImage:
    return LocalImage(
        id=raw["Id"],
        digest=raw.get("Digest", ""),
        digests=tuple(raw.get("RepoDigests") or ()),
        names=tuple(raw["Names"]),
        size=raw.get("Size", 0),
        created=raw.get("CreatedAt", ""),
        architecture=raw.get("Arch") or "",
        os=raw.get("Os") or "",
    )


class _Answers:
    """podman's answers about images, valid while its list of images is the same file, unchanged.

    Every change of an image replaces ``GRAPHROOT/DRIVER-images/images.json``; only its inode, size
    and time are looked at. Kept in the runtime directory, so a reboot forgets it.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._path = f"{system.account.runtime}/images.json"
        self._kept: dict[str, Any] = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            kept = read_json(self._path, "kept answers")
        except CesError:
            return {}
        return kept if isinstance(kept, dict) and isinstance(kept.get("images"), dict) else {}

    def get(self, name: str) -> LocalImage | None:
        stamp = self._stamp_of(self._kept.get("list", ""))
        if not stamp or stamp != self._kept.get("stamp"):
            return None
        raw = self._kept["images"].get(name)
        return None if raw is None else LocalImage(**{**raw, "digests": tuple(raw["digests"])})

    def stamp(self) -> Sequence[int]:
        """The state of the storage now; empty when it has no list yet."""
        if not self._stamp_of(self._kept.get("list", "")):
            self._kept = {"list": self._locate(), "images": {}}
        return self._stamp_of(self._kept["list"])

    def put(self, name: str, image: LocalImage, stamp: Sequence[int]) -> None:
        if not stamp:
            return
        images = self._kept["images"] if self._kept.get("stamp") == stamp else {}
        images[name] = image.as_dict()
        kept = {"list": self._kept["list"], "stamp": stamp, "images": images}
        write_atomic(self._path, json.dumps(kept), durable=False)

    def forget(self) -> None:
        write_atomic(self._path, "{}", durable=False)

    def _locate(self) -> str:
        command: Command = podman.storage()
        finished = self._system.process.run(command).check("find the storage", podman.hint(""))
        return finished.stdout.strip()

    @staticmethod
    def _stamp_of(path: str) -> Sequence[int]:
        try:
            status = os.stat(path)
        except OSError:
            return []
        return [status.st_ino, status.st_size, status.st_mtime_ns]
