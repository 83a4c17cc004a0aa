# SPDX-License-Identifier: GPL-3.0-or-later
"""By which digest the registry knows each image of podman's, kept beside the images.

podman does not know that itself: of an image it says every digest with every repository that it was
pulled by, also pairs that no registry has. Two names whose images differ in what is no part of them
(a signature, where they were built) are one image to podman.

An entry counts as long as podman says the same pair, too: a name may have become another image's.
"""

from __future__ import annotations

import os

from ....dataclass import replace
from ....errors import CesError
from ....json_text import dumps
from ....system.files import locked, read_json, write_atomic
from ....values.image import ImageRef
from ...images.store import LocalImage

_FILE = "ces-digests.json"


class Digests:
    """What was pulled by which digest, by this user into one storage.

    :param storage: podman's directory; None if it has none yet.
    """

    def __init__(self, storage: str | None) -> None:
        self._path = None if storage is None else f"{storage}/{_FILE}"
        self._kept = self._read()

    def apply(self, image: LocalImage, name: ImageRef) -> LocalImage:
        """The image, by the digest that its registry knows it by under this name."""
        digest = name.digest or self._kept.get(str(name))
        if digest is None or name.pinned(digest) not in image.digests:
            return image
        return image.known_by(name, digest)

    def apart(self, image: LocalImage) -> list[LocalImage]:
        """The image once for each digest by which the names it has are known."""
        found: dict[str, LocalImage] = {}
        for name in image.names:
            try:
                ref = ImageRef.parse(name)
            except CesError:  # a name that podman alone knows
                ref = None
            digest = self.apply(image, ref).digest if ref else image.digest
            before = found.get(digest, replace(image, names=()))
            now = self.apply(before, ref) if ref else before
            found[digest] = replace(now, names=(*before.names, name))
        return list(found.values())

    def keep(self, name: ImageRef, digest: str | None) -> bool:
        """Keep a name's digest, or none; False if nothing is new."""
        if self._path is None or name.digest is not None or self._kept.get(str(name)) == digest:
            return False
        with locked(f"{self._path}.lock"):
            kept = {**self._read(), str(name): digest}
            self._kept = {key: value for key, value in kept.items() if value is not None}
            write_atomic(self._path, dumps(self._kept), durable=False)
        return True

    def _read(self) -> dict[str, str]:
        try:
            kept = read_json(self._path or os.devnull, "the digests of images")
        except CesError:
            return {}
        if not isinstance(kept, dict):
            return {}
        return {name: digest for name, digest in kept.items() if isinstance(digest, str)}
