# SPDX-License-Identifier: GPL-3.0-or-later
"""The one image in a directory with an OCI image layout.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

from ..errors import CesError
from ..typed import Any
from ..values.image_config import CONFIG_MAX, check_image
from .files import read_json


def image_in_layout(layout: str) -> dict[str, Any]:
    """The image's configuration: what it is for, and what it wants to be run.

    :raises CesError: it is no such layout.
    """
    try:
        index = read_json(f"{layout}/index.json", "the index of the image")
        manifest = _blob(layout, index["manifests"][0], "the image's manifest")
        return check_image(_blob(layout, manifest["config"], "the image's configuration"))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CesError(
            "read the image", said=f"it is not of a known form ({error!r})", hint="ask its maker"
        ) from None


def _blob(layout: str, descriptor: dict[str, Any], what: str) -> dict[str, Any]:
    algorithm, _colon, value = descriptor["digest"].partition(":")
    if not (algorithm.isalnum() and value.isalnum()):
        raise ValueError(descriptor["digest"])
    found: dict[str, Any] = read_json(f"{layout}/blobs/{algorithm}/{value}", what, CONFIG_MAX)
    return found
