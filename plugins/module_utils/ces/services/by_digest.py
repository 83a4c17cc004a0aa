# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on disk that are kept by digest: as files, as directories.

    STORE/digests/sha256-HEX[SUFFIX]     one for each content, never changed
    STORE/names/REGISTRY%2FPATH:TAG[SUFFIX] -> ../digests/...   what the tag was when it was pulled
    STORE/locks/sha256-HEX               held by whoever makes that content

There is one store for each user and, if the policy names one, one for all; the one for all is
looked in first, and written where the user may.
"""

from __future__ import annotations

import os

from ..errors import CesError, NotFound
from ..system.files import explained, private_directory, random_name, remove_quietly
from ..typed import Callable, Iterator
from ..values.image import ImageRef


class ByDigest:
    """The stores of one kind that a user may read.

    :param own: the user's own.
    :param shared: the one for all, if the site has one.
    :param suffix: what the names of contents end with.
    """

    lock_mode = 0o664

    def __init__(self, own: str, shared: str | None, suffix: str = "") -> None:
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
        """Where the image is in one of the stores, or None."""
        if image.digest is not None:
            path = self.place(store, image.digest)
        else:
            path = os.path.realpath(self._name_path(store, image))
        return path if os.path.exists(path) else None

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
        """The store for all if this user may write there, else the user's own."""
        first = self.stores[0]
        return first if first != self.own and os.access(first, os.W_OK) else self.own

    def lock_file(self, digest: str) -> str:
        """Whoever makes this content holds this; the store is there from now on."""
        store = self.writable()
        if store == self.own:
            private_directory(store)
        for part in ("digests", "names", "locks"):
            with explained(f"make the directory {store}/{part}"):
                _make_alike(f"{store}/{part}")
        return f"{store}/locks/{base_of(digest)}"

    def name(self, store: str, image: ImageRef, path: str) -> None:
        """Let the image's tag, if it has one, be the name of a content."""
        if image.digest is None:
            replace_link(f"../digests/{os.path.basename(path)}", self._name_path(store, image))

    def listing(self) -> Iterator[tuple[ImageRef, str]]:
        """All images that have a name and where they are, the shared ones first."""
        for store in self.stores:
            for image in self._names_in(store):
                path = self.path_of(store, image)
                if path is not None:
                    yield image, path

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


def base_of(digest: str) -> str:
    """A digest as the name of a file."""
    return digest.replace(":", "-")


def replace_link(target: str, path: str) -> None:
    """Point a symbolic link somewhere, in one step."""
    temporary = f"{path}.{random_name()}.tmp"
    with explained(f"make the link {path}"):
        os.symlink(target, temporary)
        try:
            os.replace(temporary, path)
        except OSError:
            remove_quietly(temporary)
            raise


def _make_alike(path: str) -> None:
    """Make a directory if it is missing; who may write above it may write in it, in any umask."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    os.chmod(path, os.stat(os.path.dirname(path)).st_mode & 0o7777)
