# SPDX-License-Identifier: GPL-3.0-or-later
"""Images unpacked for OCI runtimes, kept by digest: see ``images/by_digest.py`` of all engines.

    STORE/digests/sha256-HEX/rootfs        the image's files, all of one owner, never changed
    STORE/digests/sha256-HEX/image.json    what the image says of itself; a run holds a lock on it

What a single container adds (configuration, layer for what it writes) is no part of it: see
root.py.
"""

from __future__ import annotations

import fcntl
import os
import sys

from ....blocks import contextmanager, nullcontext
from ....errors import Busy, CesError, InvalidValue, NotFound
from ....json_text import dumps
from ....system.files import (
    explained,
    private_directory,
    read_json,
    regular,
    remove_quietly,
    remove_tree,
    write_new,
)
from ....system.system import System
from ....system.trees import remove
from ....typed import TYPE_CHECKING, AbstractContextManager, Any, Iterator, Sequence
from ....values.bundle import ImageConfig
from ....values.image import ImageFile, ImageRef
from ....values.image_config import CONFIG_MAX
from ....values.record import utc_second
from ....values.spec import Credentials
from ...command import Launch
from ...images.by_digest import ByDigest, looked_at
from ...images.store import LocalImage, Room, make_named, warn_of
from ...images.transfer import Transfer, transfer
from .. import command as oci
from .places import own_bundles
from .root import bundle_for_run

if TYPE_CHECKING:
    from ....system.layers import Layers

_KEPT_MAX = 8 * CONFIG_MAX
"""Bytes: JSON of ours spells a character of two bytes with six."""


class BundleStore:
    """The unpacked images that this user may run."""

    lock_mode = ByDigest.lock_mode

    def __init__(self, system: System) -> None:
        self._system = system
        account = system.account
        own = own_bundles(account.home, account.lasting_environ)
        self._kept = ByDigest(own, system.policy.bundle_dir)
        self._configs: dict[str, ImageConfig] = {}
        """What images say of themselves, by their directories: it is read once."""

    def find(self, image: ImageRef, fresh: bool = False) -> LocalImage | None:
        """The unpacked image, or None.

        :param fresh: read anew what it says of itself.
        """
        if fresh:
            self._configs.clear()
        directory = self._kept.find(image)
        return None if directory is None else self._local(directory, image)

    def open_file(self, image: ImageFile) -> LocalImage:
        """They are directories, which only ces-pull makes."""
        raise InvalidValue("an image of oci", image.path, "it is a file", "name it by its registry")

    def config(self, image: LocalImage) -> ImageConfig | None:
        """What the image says of itself, kept beside its files."""
        return None if image.file is None else self._config(image.file)

    def said(self, image: LocalImage) -> dict[str, Any] | None:
        """What is kept of its configuration."""
        config = self.config(image)
        return None if config is None else config.as_image()

    def files(self, image: LocalImage) -> AbstractContextManager[Layers]:
        """Its directory of files, all of which are of one owner."""
        from ....system.layers import layers

        return layers((f"{image.file}/rootfs",), owned=False)

    def vouch(self, image: ImageRef, digest: str) -> None:
        """Images are kept by it."""

    def forget(self) -> None:
        """Nothing is kept."""

    def lock_file(self, image: ImageRef, digest: str) -> str:
        """Whoever unpacks this content holds this."""
        return self._kept.lock_file(digest)

    def plan_fetch(self, image: ImageRef, source: ImageRef, digest: str) -> Sequence[str]:
        """The first of the commands that :meth:`fetch` would run."""
        store = self._kept.writable()
        return oci.copy(source.pinned(digest), f"{store}/layout", store, None).argv

    def fetch(
        self, image: ImageRef, source: ImageRef, digest: str, credentials: Credentials
    ) -> Sequence[str]:
        """Unpack the image into a directory, which gets its name when it is whole."""
        # only who fetches pays for loading it
        from ....system.authfile import auth_file

        account = self._system.account
        for program in ("skopeo", "umoci"):
            if not account.has_program(program):
                raise account.missing(f"pull {image}", program, "oci")
        store = self._kept.writable()
        with (
            transfer(self._kept.workplace(store), account) as room,
            auth_file(credentials, (source,), account) as authfile,
        ):
            command = oci.copy(
                source.pinned(digest), f"{room.directory}/layout", room.directory, authfile
            )
            argv = room.run(command, image, oci.hint, self._system)
            whole = self._unpack(room, image)
            self._put(whole, store, digest, image)
        self._kept.name(store, image, digest)
        return argv

    @contextmanager
    def lend(self, image: LocalImage, launch: Launch) -> Iterator[None]:
        """A bundle in the run's own directory, and a room on disk for what its container writes.

        The container is gone when the block ends: what it is made of cannot be removed before.
        """
        if image.file is None:
            raise NotFound(f"run {launch.image}", said="it is not among the unpacked images")
        account = self._system.account
        config = self._config(image.file)
        make_named(launch, config)
        with (
            _kept_from_removal(image.file, launch.image),
            transfer(private_directory(self._kept.own), account) as room,
        ):
            text = bundle_for_run(launch, config, f"{image.file}/rootfs", room.directory, account)
            with explained("write the container's configuration"):
                write_new(f"{launch.private}/config.json", text)
                write_new(launch.cid_file, oci.container_id(launch.run_id))
            try:
                yield
            finally:
                if os.path.exists(launch.cid_file):
                    self._system.process.run(oci.remove(launch.cid_file))
                remove(f"{launch.private}/root")
                for name in ("config.json", "hosts", "aside"):
                    remove_quietly(f"{launch.private}/{name}")

    def as_image(self, launch: Launch) -> Launch:
        """crun is told of the bundle alone."""
        return launch

    def lend_directory(self, launch: Launch) -> None:
        """A bundle of it, whose layer is beside the directory."""
        room = private_directory(f"{launch.image}.room")
        account = self._system.account
        text = bundle_for_run(launch, ImageConfig(), launch.image, room, account)
        with explained("write the container's configuration"):
            write_new(f"{launch.private}/config.json", text)

    def rooms(self) -> Sequence[Room]:
        """Layers as they arrive and unpacked, beside each other."""
        return (Room(self._kept.writable(), 4),)

    def listing(self) -> list[LocalImage]:
        """All images that have a name, the shared ones first."""
        return self._kept.listing(self._local, self._system.tell)

    def remove(self, image: ImageRef) -> None:
        """Remove an image's name, and its files with the last name.

        :raises Busy: it is the last, and a run uses them.
        """
        from contextlib import ExitStack

        with ExitStack() as stack:

            def take(directory: str) -> None:
                stack.enter_context(_unused(directory, f"remove image {image}"))

            directory = self._kept.forget(image, take)
            if directory is not None:
                with explained(f"remove image {image}"):
                    self._kept.remove(directory, self._system.account)

    def _unpack(self, room: Transfer, image: ImageRef) -> str:
        """The unpacked image in the transfer's own room."""
        from ....system.oci_layout import image_in_layout
        from ....system.rootfs import make_directories, settle_rootfs, user_of_image
        from ....system.sif import check_architecture

        layout, whole = f"{room.directory}/layout", f"{room.directory}/whole"
        said = image_in_layout(layout)
        ImageConfig.from_image(said).check_levels(f"use image {image}")
        check_architecture(f"use image {image}", str(said.get("architecture", "")))
        with explained(f"unpack image {image}"):
            os.mkdir(whole, 0o755)
        room.run(oci.unpack(layout, f"{whole}/rootfs"), image, oci.hint, self._system)
        remove_tree(layout)
        with explained(f"unpack image {image}"):
            size = settle_rootfs(f"{whole}/rootfs")
            user = user_of_image(f"{whole}/rootfs", said)
            config = ImageConfig.from_image(said, user, size)
            make_directories(f"{whole}/rootfs", (config.cwd, *config.volumes))
            write_new(f"{whole}/image.json", dumps(config.as_dict()), 0o644)
            os.chmod(whole, 0o755)  # noqa: S103  whatever the umask: others may run it
        warn_of(config, image, self._system.tell)
        return whole

    def _put(self, whole: str, store: str, digest: str, image: ImageRef) -> None:
        """Give it its name; the caller holds the lock, so nobody else is at it."""
        from contextlib import ExitStack

        place = self._kept.place(store, digest)
        with ExitStack() as stack, explained(f"keep image {image}"):
            if os.path.lexists(place):
                stack.enter_context(_unused(place, f"pull image {image} again"))
            self._kept.put(whole, store, digest, self._system)

    def _config(self, directory: str) -> ImageConfig:
        if directory not in self._configs:
            self._configs[directory] = config_in(directory)
        return self._configs[directory]

    def _local(self, directory: str, image: ImageRef) -> LocalImage:
        with looked_at(directory):
            config, status = self._config(directory), os.stat(directory)
        digest = self._kept.digest_in(directory)
        return LocalImage(
            runner="oci",
            id=digest.partition(":")[2],
            digest=digest,
            digests=(image.pinned(digest),),
            names=(str(image),),
            size=config.size,
            created=utc_second(status.st_mtime),
            architecture=config.architecture,
            os=config.os,
            file=directory,
        )


def config_in(directory: str) -> ImageConfig:
    """What an unpacked image says of itself."""
    path = f"{directory}/image.json"
    return ImageConfig.from_dict(read_json(path, "what is known of the image", _KEPT_MAX), path)


@contextmanager
def _kept_from_removal(directory: str, what: str) -> Iterator[None]:
    """While in the block nobody removes it: any number may hold it like this."""
    with _locked(directory, fcntl.F_RDLCK, f"run {what}", "it is just being removed"):
        if not os.path.exists(f"{directory}/image.json"):
            raise NotFound(f"run {what}", said="the image has just been removed")
        if os.path.islink(f"{directory}/rootfs"):
            raise CesError(
                f"run {what}",
                said=f"{directory}/rootfs is a link, which ces-pull never makes",
                hint="tell the administrator who may write there",
            )
        yield


def _unused(directory: str, tried: str) -> AbstractContextManager[None]:
    if not os.path.lexists(f"{directory}/image.json"):
        return nullcontext()  # it is damaged, and nothing could run it
    return _locked(directory, fcntl.F_WRLCK, tried, "a run uses it")


@contextmanager
def _locked(directory: str, kind: int, tried: str, said: str) -> Iterator[None]:
    """Hold a lock on an unpacked image (F_OFD_SETLK of fcntl(2)), or fail at once.

    Who may read the file can take the lock of runs alone; the other one takes a descriptor to write
    by, and so its owner. Of flock(2) everybody could take both.
    """
    access = os.O_RDWR if kind == fcntl.F_WRLCK else os.O_RDONLY
    with explained(tried):
        descriptor = regular(f"{directory}/image.json", access | os.O_NOFOLLOW)
    try:
        # a struct flock for the whole file: its kind, and zeroes
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, kind.to_bytes(2, sys.byteorder) + bytes(30))
    except BlockingIOError:
        os.close(descriptor)
        raise Busy(tried, said=said, hint="try again later; ces-runs lists your runs") from None
    try:
        yield
    finally:
        os.close(descriptor)
