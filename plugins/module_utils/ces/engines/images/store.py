# SPDX-License-Identifier: GPL-3.0-or-later
"""What every engine's image storage can do."""

from __future__ import annotations

import os

from ...dataclass import asdict, dataclass, replace
from ...system.files import explained
from ...typed import TYPE_CHECKING, AbstractContextManager, Any, Callable, Protocol, Sequence
from ...values.image import ImageFile, ImageRef
from ...values.mounts import SAFE_OUTPUTS, SCRATCH
from ...values.spec import Credentials
from ..command import Launch

if TYPE_CHECKING:
    from ...system.tree import Tree
    from ...values.bundle import ImageConfig


@dataclass(frozen=True)
class LocalImage:
    """An image on this back-end.

    :param runner: the engine it is for.
    :param digests: ``name@digest`` for every repository it came from; for an image of several
        platforms both the index's and the manifest's digest.
    :param size: bytes on disk.
    :param file: the file or directory it is, for engines whose images are that.
    :param volumes: how many VOLUMEs it names, where an engine keeps each as something of its own.
    """

    runner: str
    id: str
    digest: str
    digests: tuple[str, ...]
    names: tuple[str, ...] = ()
    size: int = 0
    created: str = ""
    architecture: str = ""
    os: str = ""
    file: str | None = None
    volumes: int = 0

    def digest_of(self, image: ImageRef, remote: str | None = None) -> str | None:
        """The digest by which the image's registry knows this; ``remote`` if it is one of them."""
        prefix = f"{image.name}@"
        known = [text[len(prefix) :] for text in self.digests if text.startswith(prefix)]
        if remote in known:
            return remote
        return known[0] if known else None

    def known_by(self, image: ImageRef, digest: str) -> LocalImage:
        """This, with the one digest by which the image's registry knows it."""
        prefix = f"{image.name}@"
        others = tuple(text for text in self.digests if not text.startswith(prefix))
        return replace(self, digest=digest, digests=(image.pinned(digest), *others))

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {name: value for name, value in self.as_kept().items() if name != "volumes"}

    def as_kept(self) -> dict[str, Any]:
        """For keeping."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> LocalImage:
        """What :meth:`as_kept` gave, perhaps by way of JSON."""
        return cls(**{**raw, "digests": tuple(raw["digests"]), "names": tuple(raw["names"])})


@dataclass(frozen=True)
class Room:
    """A directory that a fetch fills.

    :param usual: how often the size of the image's layers usually comes to lie there.
    :param deep: the directories above it are made, too, where they are missing.
    """

    path: str
    usual: int
    deep: bool = True


class Lender(Protocol):
    """What lends an image to a run."""

    def forget(self) -> None:
        """Drop what was found out earlier."""

    def lend(self, image: LocalImage, launch: Launch) -> AbstractContextManager[None]:
        """While in the block the image stays, and the engine finds what it needs of it."""


class Store(Lender, Protocol):
    """The images of one engine, as one user has them.

    ``lock_mode``: the mode of its lock files.
    """

    lock_mode: int

    def find(self, image: ImageRef, fresh: bool = False) -> LocalImage | None:
        """The image, or None; ``fresh`` trusts nothing that was found out earlier."""

    def open_file(self, image: ImageFile) -> LocalImage:
        """An image that was named by its file.

        :raises CesError: the engine has no such images, or this file is not to be run.
        """

    def config(self, image: LocalImage) -> ImageConfig | None:
        """What the image says of itself; None if the engine needs nobody who tells it."""

    def said(self, image: LocalImage) -> dict[str, Any] | None:
        """What a registry would say of the image; None if the engine has not kept that."""

    def files(self, image: LocalImage) -> AbstractContextManager[Tree]:
        """While in the block the image's files can be looked at.

        :raises Unseen: they cannot be.
        """

    def vouch(self, image: ImageRef, digest: str) -> None:
        """Keep in mind that the registry knows the image that is here by this digest."""

    def lock_file(self, image: ImageRef, digest: str) -> str:
        """Whoever fetches the image holds the lock on this file."""

    def plan_fetch(self, image: ImageRef, source: ImageRef, digest: str) -> Sequence[str]:
        """The command that :meth:`fetch` would run."""

    def fetch(
        self, image: ImageRef, source: ImageRef, digest: str, credentials: Credentials
    ) -> Sequence[str]:
        """Bring the image here from ``source``; returns the command that ran."""

    def as_image(self, launch: Launch) -> Launch:
        """What the engine is told where the launch's image is a directory of files. No I/O."""

    def lend_directory(self, launch: Launch) -> None:
        """Make what the engine reads beside such a directory, in ``launch.private``.

        Nothing is removed: the directory above ``launch.image`` is the caller's.
        """

    def rooms(self) -> Sequence[Room]:
        """Where a fetch needs space."""

    def listing(self) -> list[LocalImage]:
        """All images that have a name."""

    def remove(self, image: ImageRef) -> None:
        """Remove the image; NotFound if it is not here."""


def warn_of(config: ImageConfig, image: ImageRef, tell: Callable[[str], None]) -> None:
    """Tell who pulls an image what its runs will need."""
    if config.is_idle:
        tell(f"warning: {image} does not say what to run (no ENTRYPOINT, no CMD): give arguments")
    if config.unknown_user:
        tell(
            f"warning: the user of {image}, {config.unknown_user!r:.80}, is not in its own"
            " /etc/passwd and /etc/group: put numbers into an option file (--user=0)"
        )


def make_named(launch: Launch, config: ImageConfig) -> None:
    """Make the directories that an image names below new outputs and scratch, as podman does.

    Where there is something already, a link of an earlier container could lead out of it.
    """
    for mount in launch.mounts:
        if mount.target not in (SAFE_OUTPUTS, SCRATCH):
            continue
        named = [p for p in (config.cwd, *config.volumes) if p.startswith(f"{mount.target}/")]
        with explained(f"make the directories of {mount.target} that the image names"):
            if named and not os.listdir(mount.source):
                # most images name none
                from ...system.trees import make_below

                for path in named:
                    make_below(mount.source, path[len(mount.target) + 1 :])
