# SPDX-License-Identifier: GPL-3.0-or-later
"""What checks of an image look at: the image as its registry has it, the host, an engine."""

from __future__ import annotations

from ..dataclass import dataclass
from ..engines.runner import Runner
from ..engines.ways import Ways
from ..errors import CesError
from ..typed import Any, Mapping, Sequence
from ..values.bundle import ImageConfig
from ..values.image_config import check_image
from ..values.inside import Inside
from ..values.manifest import Manifest
from ..values.quantities import spell_bytes

MAKER = "ask its maker"
"""Who mends an image."""


@dataclass(frozen=True)
class Image:
    """What is known of an image without its files.

    :param name: as it was asked for.
    :param refusal: why nothing is known of it; ``refused_by``: the check that found that.
    :param unnamed: it has to be named by its digest here, and was not.
    :param asked: how the registry is reached, where that is not as the name says.
    :param manifest: None for an image file.
    :param raw: its configuration, whatever that is.
    """

    name: str
    refusal: CesError | None = None
    refused_by: str = ""
    unnamed: str = ""
    asked: tuple[str, ...] = ()
    manifest: Manifest | None = None
    raw: object = None

    @property
    def misread(self) -> str:
        """Why its configuration cannot be read; empty if it can be."""
        # each check asks, and it may be long
        known: dict[str, str] = self.__dict__
        if "_misread" not in known:
            known["_misread"] = self._find_misread()
        return known["_misread"]

    def _find_misread(self) -> str:
        try:
            config = check_image(self.raw).get("config") or {}
        except ValueError as error:
            return str(error)
        # engines refuse these, which other builders' configurations have had
        texts = [name for name in ("Entrypoint", "Cmd") if isinstance(config.get(name), str)]
        if texts:
            return f"config.{texts[0]} is a text, and no list of words"
        labels = config.get("Labels") or {}
        odd = not isinstance(labels, dict) or any(
            not isinstance(value, (str, type(None))) for value in labels.values()
        )
        return "config.Labels has what is no text" if odd else ""

    @property
    def parts(self) -> Mapping[str, Any]:
        """Its configuration; nothing where that cannot be read."""
        return {} if self.misread or not isinstance(self.raw, dict) else self.raw

    @property
    def said(self) -> Mapping[str, Any]:
        """What stands under ``config`` there."""
        return self.parts.get("config") or {}

    @property
    def config(self) -> ImageConfig:
        """The same as a run has it; a user's name is not looked up."""
        return ImageConfig.from_image(self.parts)


@dataclass(frozen=True)
class Host:
    """What is known of the host and its user.

    :param architecture: as registries spell it.
    :param size_limit: bytes that the site allows an image.
    :param network: what a run gets that asks for none; ``networks``: all that the site allows.
    :param uids: how many user ids a container can have beside the user's own, where an engine uses
        subordinate ids; None where that is not known. Likewise ``gids``.
    :param words_max: bytes that arguments and variables of a program may have together (execve(2)).
    :param driver: version of NVIDIA's driver; empty where there is none, or nobody asked.
    :param elsewhere: the image is for another host, of which only this is known.
    """

    architecture: str
    size_limit: int | None = None
    network: str = "none"
    networks: tuple[str, ...] = ("none",)
    uids: int | None = None
    gids: int | None = None
    words_max: int = 2 * 1024 * 1024
    driver: str = ""
    elsewhere: bool = False


@dataclass(frozen=True)
class Space:
    """A directory that a pull fills.

    :param free: bytes.
    :param usual: how often the size of the image's layers usually comes to lie there.
    :param disk: the number of its file system.
    :param closed: it cannot be written to, or not be made.
    """

    path: str
    free: int
    usual: int
    disk: int = 0
    closed: bool = False


def by_disk(spaces: Sequence[Space]) -> list[list[Space]]:
    """The same in groups: those of one file system share what is free there."""
    disks: dict[int, list[Space]] = {}
    for space in spaces:
        disks.setdefault(space.disk, []).append(space)
    return list(disks.values())


def room_for(size: int, spaces: Sequence[Space]) -> tuple[bool, str]:
    """Whether layers fit on a disk as they arrive, and what a message says of that.

    :param size: bytes of all layers.
    :param spaces: of one disk: each of them gets all layers.
    """
    free, paths = spaces[0].free, " and ".join(space.path for space in spaces)
    said = f"its layers are {spell_bytes(size)}, and {paths} has {spell_bytes(free)} free"
    return free >= size * len(spaces), said


@dataclass(frozen=True)
class Opened:
    """How a look into an image's files went.

    :param by: the engine whose image it was, or would have been.
    :param pulled: that engine fetched it for this look; ``place``: where it is now.
    :param would: it would have been pulled, had not somebody asked what would happen.
    :param refusal: why the engine could not fetch it.
    :param unseen: why nothing was looked at.
    :param size: bytes that it takes there.
    :param inside: what was seen.
    """

    by: str
    pulled: bool = False
    place: str = ""
    would: bool = False
    refusal: CesError | None = None
    unseen: str = ""
    size: int = 0
    inside: Inside | None = None


@dataclass(frozen=True)
class Engine:
    """What is known of one engine here.

    :param refusal: why it cannot be used.
    :param spaces: what a pull fills.
    :param here: the digest of the image of that name that it has; None if it has none.
    :param misread: what a pull cannot read of the files of its configuration, a sentence each.
    :param damaged: what is wrong with the image that it has.
    :param opened: None where nobody asked to look into the image's files.
    """

    name: str
    runner: Runner
    ways: Ways
    refusal: CesError | None = None
    spaces: tuple[Space, ...] = ()
    misread: tuple[str, ...] = ()
    here: str | None = None
    damaged: str = ""
    opened: Opened | None = None

    def fetches(self, image: Image) -> bool:
        """Whether a pull transfers the image: the engine does not have it."""
        return image.manifest is not None and self.here != image.manifest.digest
