# SPDX-License-Identifier: GPL-3.0-or-later
"""When images were last used: ``STATE/images/RUNNER-ID``, an empty file with that time.

Records of runs do not tell: people remove them, and a pull leaves none.
"""

from __future__ import annotations

import os

from ..blocks import suppress
from ..errors import CesError
from ..typed import Collection
from .files import private_directory, remove_quietly


class Uses:
    """The marks of one user, for images by the ids that their engines give them.

    :param state: the user's directory of what we keep (``Account.state``).
    """

    def __init__(self, state: str) -> None:
        self._directory = f"{state}/images"

    def note(self, runner: str, image_id: str) -> None:
        """The image is used now. A full disk, or one that nobody may write to, stops nothing."""
        if not image_id.isalnum():
            # an image file that somebody has made has no id
            return
        path = self._path(runner, image_id)
        with suppress(OSError, CesError):
            try:
                os.utime(path)
            except FileNotFoundError:
                private_directory(self._directory)
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))

    def last(self, runner: str, image_id: str) -> float | None:
        """Seconds since the epoch; None if the image was not used since there are marks."""
        try:
            return os.lstat(self._path(runner, image_id)).st_mtime
        except OSError:
            return None

    def forget(self, runner: str, image_id: str) -> None:
        """The image is gone."""
        remove_quietly(self._path(runner, image_id))

    def forget_before(self, moment: float, but: Collection[tuple[str, str]]) -> None:
        """Remove marks that are older: of images that were removed otherwise.

        :param but: engines and ids of those that are here.
        """
        here = {self._path(*one) for one in but}
        with suppress(OSError), os.scandir(self._directory) as entries:
            for entry in entries:
                old = entry.stat(follow_symlinks=False).st_mtime < moment
                if old and entry.path not in here:
                    remove_quietly(entry.path)

    def _path(self, runner: str, image_id: str) -> str:
        return f"{self._directory}/{runner}-{image_id}"
