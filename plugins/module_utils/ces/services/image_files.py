# SPDX-License-Identifier: GPL-3.0-or-later
"""Names by which a user sees image files, for engines whose images are files."""

from __future__ import annotations

import os

from ..errors import CesError
from ..system.files import link_to


def link_here(file: str, link: str, force: bool) -> None:
    """Let ``link`` be the name by which a user sees an image file.

    :param force: replace something else that has the name.
    :raises CesError: something else has the name.
    """
    if os.path.lexists(link) and not os.path.islink(link) and not force:
        raise CesError(
            f"name the image {link}",
            said="there is a file of that name which ces-pull did not make",
            hint="move it away, or pull with --force",
        )
    link_to(file, link, force)


def digest_of_file(file: str) -> str:
    """The digest that an image file was pulled by, if it is one of a store's."""
    name = os.path.basename(os.path.realpath(file))
    return name.removesuffix(".sif").replace("-", ":", 1)
