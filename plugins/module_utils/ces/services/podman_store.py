# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in a user's podman storage."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from ..errors import CesError, InvalidValue, NotFound
from ..runners import podman
from ..system.files import read_json, write_atomic
from ..system.process import Streams
from ..system.system import System
from ..values.image import ImageFile, ImageRef
from ..values.spec import Credentials
from .store import LocalImage
from .transfer import transfer

_LISTING = 64 * 1024 * 1024
"""Bytes of a listing of images that are read: thousands of them."""


class PodmanStore:
    """What this user's podman has.

    Asking podman costs as much as starting a container, so answers are kept until the storage
    changes.
    """

    lock_mode = 0o600

    def __init__(self, system: System) -> None:
        self._system = system

    def find(self, image: ImageRef, fresh: bool = False) -> LocalImage | None:
        """The image in storage, or None.

        :param fresh: ask podman in any case.
        """
        answers = _Answers(self._system)
        kept = None if fresh else answers.get(str(image))
        if kept is not None:
            return kept
        # noted before asking: a change meanwhile must not go unseen
        stamp = answers.stamp()
        found = self._inspect(str(image))
        if found is not None:
            answers.put(str(image), found, stamp)
        return found

    def open_file(self, image: ImageFile) -> LocalImage:
        """podman's images are no files."""
        raise InvalidValue(
            "an image of podman", image.path, "it is a file", "name it by its registry"
        )

    def forget(self) -> None:
        """Ask podman anew from now on."""
        _Answers(self._system).forget()

    def lock_file(self, image: ImageRef, digest: str) -> str:
        """Whoever fetches the image holds this."""
        return f"{self._system.account.runtime}/pull-{digest.rpartition(':')[2][:32]}.lock"

    def plan_fetch(self, image: ImageRef, source: ImageRef, digest: str) -> Sequence[str]:
        """What :meth:`fetch` would run."""
        return podman.pull(str(image), None).argv

    def fetch(
        self, image: ImageRef, source: ImageRef, digest: str, credentials: Credentials
    ) -> Sequence[str]:
        """Transfer the image; the caller holds the lock.

        podman itself knows where to fetch from: registries.conf says what the policy says.
        """
        # only who fetches pays for loading it
        from ..system.authfile import auth_file

        account = self._system.account
        with (
            transfer(self._temporary(), account) as room,
            auth_file(credentials, (image, source), account) as authfile,
        ):
            command = podman.pull(str(image), authfile, room.directory)
            return room.run(command, image, podman.hint, self._system)

    def listing(self) -> list[LocalImage]:
        """All images that have a name."""
        finished = self._system.process.run(podman.image_list(), Streams(keep=_LISTING))
        finished.check("list the images", podman.hint(finished.stderr))
        return [
            _from_listing(raw) for raw in json.loads(finished.stdout or "[]") if raw.get("Names")
        ]

    def remove(self, image: ImageRef) -> None:
        """Remove an image's name from storage, and its data with the last name.

        :raises NotFound: it is not there.
        :raises CesError: a container uses it.
        """
        if self.find(image, fresh=True) is None:
            raise NotFound(
                f"remove image {image}",
                said="it is not in your storage",
                hint="ces-images lists all",
            )
        self._system.process.run(podman.image_remove(str(image))).check(
            f"remove image {image}", hint="a run may be using it: ces-runs lists them"
        )

    def _temporary(self) -> str:
        """Where podman unpacks what it fetches: the administrator chose a disk with room."""
        finished = self._system.process.run(podman.temporary())
        return finished.check(
            "find room for the image", podman.hint(finished.stderr)
        ).stdout.strip()

    def _inspect(self, name: str) -> LocalImage | None:
        finished = self._system.process.run(podman.image_lookup(name), Streams(keep=_LISTING))
        if finished.rc == 125 and any(word in finished.stderr for word in _ABSENT):
            return None
        finished.check(f"look up image {name} in storage", podman.hint(finished.stderr))
        raw = json.loads(finished.stdout)
        return LocalImage(
            runner="podman",
            id=raw["id"].removeprefix("sha256:"),
            digest=raw["digest"],
            digests=tuple(raw["digests"] or ()),
            names=tuple(raw["names"] or ()),
            size=raw["size"],
            created=raw["created"],
            architecture=raw["architecture"],
            os=raw["os"],
        )


_ABSENT = ("no such image", "image not known")


def _from_listing(raw: dict[str, Any]) -> LocalImage:
    return LocalImage(
        runner="podman",
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
        try:
            return None if raw is None else LocalImage.from_dict(raw)
        except (KeyError, TypeError):  # kept by another version of this collection
            return None

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
        finished = self._system.process.run(podman.storage())
        return finished.check("find the storage", podman.hint(finished.stderr)).stdout.strip()

    @staticmethod
    def _stamp_of(path: str) -> Sequence[int]:
        try:
            status = os.stat(path)
        except OSError:
            return []
        return [status.st_ino, status.st_size, status.st_mtime_ns]
