# SPDX-License-Identifier: GPL-3.0-or-later
"""An image's manifest: what it is made of, without what is in it.

https://github.com/opencontainers/image-spec/blob/main/manifest.md
https://distribution.github.io/distribution/spec/manifest-v2-2/
"""

from __future__ import annotations

from ..dataclass import dataclass
from ..typed import Any, Mapping

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
CONFIGURATIONS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
"""Media types of a container image's configuration; another one is of an artifact."""
_SIZE_MAX = 2**63 - 1
"""Bytes that a manifest may say of a layer (OCI image specification: int64)."""
_LAYERS_MAX = 10_000


@dataclass(frozen=True)
class Layer:
    """A part of an image's files.

    :param form: its media type.
    :param size: bytes that a pull transfers for it.
    """

    form: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What an image is made of.

    :param digest: by which its registry knows it: the index's, if it is in one.
    :param form: its media type.
    :param config: the digest of its configuration; ``config_form``: the media type.
    :param indexes: how many indexes are around it.
    """

    digest: str
    form: str
    config: str
    config_form: str
    layers: tuple[Layer, ...] = ()
    indexes: int = 0

    @classmethod
    def from_dict(
        cls, raw: Mapping[str, Any], digest: str, form: str = "", indexes: int = 0
    ) -> Manifest:
        """Read parsed JSON.

        :param form: the media type that the registry says, where the manifest does not.
        :raises ValueError: it is no manifest of a known form.
        """
        try:
            config, layers = raw["config"], raw["layers"]
            if len(layers) > _LAYERS_MAX:
                raise ValueError("it has too many layers")
            return cls(
                digest=digest,
                form=_text(raw.get("mediaType") or form),
                config=_text(config["digest"]),
                config_form=_text(config.get("mediaType") or ""),
                layers=tuple(
                    Layer(_text(layer.get("mediaType") or ""), layer_size(layer))
                    for layer in layers
                ),
                indexes=indexes,
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"its manifest is not of a known form ({error!r:.80})") from None

    @property
    def size(self) -> int:
        """Bytes that a pull transfers."""
        return sum(layer.size for layer in self.layers)


def layer_size(layer: Mapping[str, Any]) -> int:
    """What a manifest says of a layer; a pull counts what arrives, too.

    :raises ValueError: it is no number of bytes.
    """
    size = layer["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _SIZE_MAX:
        raise ValueError(f"a layer's size is {size!r:.80}")
    return size


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 256:
        raise TypeError(f"{value!r:.80}")
    return value
