# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on disk that are kept by digest: as files, as directories.

    STORE/digests/sha256-HEX[SUFFIX]     one for each content, never changed
    STORE/names/REGISTRY%2FPATH:TAG[SUFFIX] -> ../digests/...   what the tag was when it was pulled
    STORE/locks/sha256-HEX               held by whoever makes that content

There is one store for each user and, if the policy names one, one for all; the one for all is
looked in first, and written where the user may.

Several users may write in the one for all, and rename there what they like, at any time. So an
image is made elsewhere, where only its maker may write, and arrives whole; what we do in the store
we do below its descriptor; and who holds a lock is one of them.
"""

from __future__ import annotations

import errno
import os

from ...blocks import contextmanager
from ...errors import CesError, Damaged, NotFound
from ...system.account import Account
from ...system.disks import refuse_unmounted
from ...system.files import explained, private_directory, random_name
from ...system.system import System
from ...system.trees import new_directory, only_ours, opened, path_of
from ...typed import Callable, Iterator
from ...values.command import Command
from ...values.image import ImageRef, is_digest
from .store import LocalImage
from .transfer import passing_place, transfer

_PARTS = {"digests": 0, "names": 0, "locks": 0o007}
"""The directories in a store, and bits of the mode that each never has."""


class ByDigest:
    """The stores of one kind that a user may read.

    :param own: the user's own.
    :param shared: the one for all, if the site has one.
    :param suffix: what the names of contents end with.
    :raises CesError: the file system of the one for all is not mounted.
    """

    lock_mode = 0o660

    def __init__(self, own: str, shared: str | None, suffix: str = "") -> None:
        if shared:
            refuse_unmounted(shared)
        self.own = own
        self.stores = (shared, own) if shared else (own,)
        self._suffix = suffix

    def find(self, image: ImageRef) -> str | None:
        """Where the image is, or None."""
        for store in self.stores:
            path = self.path_of(store, image)
            if path is not None:
                return path
        return None

    def path_of(self, store: str, image: ImageRef) -> str | None:
        """Where the image is in one of the stores, or None.

        A name leads to a content of its own store, which is no link: where several users write, one
        that leads elsewhere would let a user run, or remove, what lies there.
        """
        digest = image.digest
        if digest is None:
            try:
                digest = self.digest_in(os.readlink(self._name_path(store, image)))
            except OSError:
                return None
            if not is_digest(digest):
                return None
        path = self.place(store, digest)
        return path if os.path.exists(path) and not os.path.islink(path) else None

    def place(self, store: str, digest: str) -> str:
        """Where a store has that content, or would."""
        return f"{store}/digests/{base_of(digest)}{self._suffix}"

    def digest_in(self, path: str) -> str:
        """The digest that a content of a store is named for."""
        return os.path.basename(path).removesuffix(self._suffix).replace("-", ":", 1)

    def holds(self, path: str) -> bool:
        """Whether a path (with links resolved) is a content of one of the stores."""
        directories = (os.path.realpath(f"{store}/digests") for store in self.stores)
        return os.path.dirname(path) in directories

    def writable(self) -> str:
        """The store for all if this user may write there, else the user's own.

        :raises CesError: root may write everywhere, and others may write in the store for all.
        """
        first = self.stores[0]
        if first == self.own or not os.access(first, os.W_OK):
            return self.own
        places = (first, *(f"{first}/{part}" for part in _PARTS))
        if os.geteuid() == 0 and not all(map(only_ours, filter(os.path.isdir, places))):
            raise CesError(
                f"keep an image in {first}",
                said="others may write there, and root does nothing where others could mislead it",
                hint="pull as a user of its group, or let root alone write there (chmod -R go-w)",
            )
        return first

    def workplace(self, store: str) -> str:
        """Where an image for that store is made: there if nobody else can rename what we make."""
        return store if only_ours(store) else private_directory(self.own)

    def lock_file(self, digest: str) -> str:
        """Whoever makes this content holds this; the store is there from now on."""
        store = self.writable()
        if store == self.own:
            private_directory(store)
        with explained(f"make the directories of {store}"), opened(store) as top:
            for part, closed_to in _PARTS.items():
                _make_part(part, top, closed_to)
        return f"{store}/locks/{base_of(digest)}"

    def put(self, made: str, store: str, digest: str, system: System) -> None:
        """Give a content that is whole its name in a store; the caller holds its lock.

        :param made: where it was made, see :meth:`workplace`.
        """
        place = self.place(store, digest)
        name = os.path.basename(place)
        with opened(store) as top, opened("digests", top) as digests:
            if not os.path.isdir(place):
                self._move(made, store, name, digests, system)
                return
            # a directory takes the place of none that has something in it
            with _aside(store, name, digests, system.account):
                self._move(made, store, name, digests, system)

    def _move(self, made: str, store: str, name: str, digests: int, system: System) -> None:
        """To the store; if that is on another file system, a copy of it."""
        try:
            os.rename(made, name, dst_dir_fd=digests)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        with transfer(store, system.account) as room:
            # others may rename the room while we fill it, but not what is in it
            argv = ("cp", "--archive", "--", made, f"{path_of(room.descriptor)}/whole")
            system.process.run(Command(argv)).check(f"copy an image to {store}")
            os.rename("whole", name, src_dir_fd=room.descriptor, dst_dir_fd=digests)

    def name(self, store: str, image: ImageRef, digest: str) -> None:
        """Let the image's tag, if it has one, be the name of a content."""
        if image.digest is not None:
            return
        path, passing = self._name_path(store, image), random_name()
        content = f"../digests/{os.path.basename(self.place(store, digest))}"
        with (
            explained(f"make the link {path}"),
            opened(store) as top,
            opened("names", top) as names,
        ):
            os.symlink(content, passing, dir_fd=names)
            os.replace(passing, os.path.basename(path), src_dir_fd=names, dst_dir_fd=names)

    def remove(self, path: str, account: Account) -> None:
        """Remove a content that :meth:`forget` has returned."""
        store, name = os.path.dirname(os.path.dirname(path)), os.path.basename(path)
        with (
            opened(store) as top,
            opened("digests", top) as digests,
            _aside(store, name, digests, account),
        ):
            pass

    def listing(
        self, local: Callable[[str, ImageRef], LocalImage], tell: Callable[[str], None]
    ) -> list[LocalImage]:
        """All images that have a name, the shared ones first.

        A damaged one is told and hides no other: in a store for all it may be anybody's.

        :param local: what an image is that lies at a path; raises :class:`Damaged`.
        """
        found: list[LocalImage] = []
        damaged: dict[str, Damaged] = {}
        for store in self.stores:
            for image in self._names_in(store):
                path = self.path_of(store, image)
                if path is not None:
                    try:
                        found.append(local(path, image))
                    except Damaged as error:
                        damaged[path] = error
        for why in damaged.values():
            tell(f"warning: {why}")
        return found

    def forget(
        self, image: ImageRef, before_last: Callable[[str], object] | None = None
    ) -> str | None:
        """Remove an image's name; returns the content that nothing names any more, if so.

        :param before_last: called with that content, and may refuse, before the name is removed.
        :raises NotFound: there is no such image that is the user's to remove.
        """
        for store in self.stores:
            path = self.path_of(store, image)
            if path is None or not os.access(f"{store}/digests", os.W_OK):
                continue
            names = [name for name in self._names_in(store) if self.path_of(store, name) == path]
            others = [name for name in names if name != image]
            if not others and before_last is not None:
                before_last(path)
            if image.digest is None:
                with explained(f"remove image {image}"):
                    os.unlink(self._name_path(store, image))
            return None if others else path
        raise NotFound(
            f"remove image {image}",
            said="it is not among the images that are yours",
            hint="ces-images lists all",
        )

    def _name_path(self, store: str, image: ImageRef) -> str:
        # '%' is in no reference, so the names are unmistakable
        return f"{store}/names/{str(image).replace('/', '%2F')}{self._suffix}"

    def _names_in(self, store: str) -> Iterator[ImageRef]:
        try:
            names = sorted(os.listdir(f"{store}/names"))
        except FileNotFoundError:
            return
        for name in names:
            try:
                yield ImageRef.parse(name.removesuffix(self._suffix).replace("%2F", "/"))
            except CesError:  # something else, somebody else's
                continue


@contextmanager
def _aside(store: str, name: str, digests: int, account: Account) -> Iterator[None]:
    """A content loses its name now, and is removed when the block ends or when we are killed."""
    with passing_place(f"{store}/digests", account) as (gone, _pid_file):
        os.rename(name, os.path.basename(gone), src_dir_fd=digests, dst_dir_fd=digests)
        yield


@contextmanager
def looked_at(path: str) -> Iterator[None]:
    """Look at a content of a store.

    :raises Damaged: it is not as we made it: a disk was full, or somebody has written there.
    """
    try:
        with explained(f"use the image {path}"):
            yield
    except CesError as error:
        raise Damaged(
            f"use the image {path}",
            said=error.said,
            hint="pull the image again (ces-pull), or remove it (ces-rm)",
        ) from error


def base_of(digest: str) -> str:
    """A digest as the name of a file."""
    return digest.replace(":", "-")


def _make_part(name: str, top: int, closed_to: int) -> None:
    """Make a part of a store if it is missing; who may write in the store may write in it.

    :param closed_to: bits of the mode that it does not have, whatever the store has.
    """
    try:
        with new_directory(name, top) as part:
            os.fchmod(part, os.fstat(top).st_mode & 0o7777 & ~closed_to)
    except FileExistsError:
        with opened(name, top) as part:
            status = os.fstat(part)
            if status.st_mode & closed_to and status.st_uid == os.geteuid():
                os.fchmod(part, status.st_mode & 0o7777 & ~closed_to)
