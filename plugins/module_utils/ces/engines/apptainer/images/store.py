# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as files (SIF), kept by digest: see ``images/by_digest.py`` of all engines."""

from __future__ import annotations

import os

from ....blocks import contextmanager, nullcontext
from ....dataclass import replace
from ....errors import CesError, NotFound, RefusedByPolicy
from ....system.account import Account
from ....system.files import (
    explained,
    passing_file,
    random_name,
    read_text,
    regular,
    remove_tree,
)
from ....system.sif import (
    check_architecture,
    sif_architecture,
    sif_config,
    sif_files,
    sif_image,
    sif_lacks,
)
from ....system.system import System
from ....typed import TYPE_CHECKING, AbstractContextManager, Any, Iterator, Sequence
from ....values.bundle import ImageConfig
from ....values.image import ImageFile, ImageRef
from ....values.record import utc_second
from ....values.spec import Credentials
from ...command import Launch
from ...images.by_digest import ByDigest, base_of, looked_at
from ...images.store import LocalImage, Room, make_named, warn_of
from ...images.transfer import transfer
from .. import command as apptainer
from .conversion import conversion
from .places import building, own_files

if TYPE_CHECKING:
    from ....system.squashfs import Squashfs

_AUTHFILE_SINCE = (1, 4)
"""The first apptainer that knows ``--authfile`` (its CHANGELOG)."""
_LOGIN_VARIABLES = ("APPTAINER_DOCKER_USERNAME", "APPTAINER_DOCKER_PASSWORD")
"""What earlier ones know instead."""


class SifStore:
    """The image files that this user may run."""

    lock_mode = ByDigest.lock_mode

    def __init__(self, system: System) -> None:
        self._system = system
        self._kept = ByDigest(own_files(system.account), system.policy.sif_dir, ".sif")

    def find(self, image: ImageRef, fresh: bool = False) -> LocalImage | None:
        """The image's file, or None; there is nothing to be kept, so it is always fresh."""
        file = self._kept.find(image)
        return None if file is None else self._named(file, image)

    def open_file(self, image: ImageFile) -> LocalImage:
        """An image that was named by its file.

        :raises CesError: it is no SIF, is for another processor, or did not come from a registry
            and the policy wants that.
        """
        file = os.path.realpath(image.path)
        try:
            architecture = sif_architecture(file)
        except NotFound:
            raise NotFound(
                f"run the image file {image.path}",
                said=f"{file} is not there",
                hint="ces-pull apptainer makes such a file from an image in a registry",
            ) from None
        check_architecture(f"run the image file {image.path}", architecture)
        digest = self._kept.digest_in(file) if self._kept.holds(file) else ""
        if not digest and self._system.policy.sif_files != "any":
            raise RefusedByPolicy(
                f"run the image file {image.path}",
                said="it was not pulled from an allowed registry with ces-pull apptainer",
                hint="pull the image; or the administrator sets sif_files to any in policy.json",
            )
        return self._local(file, None, digest)

    def config(self, image: LocalImage) -> ImageConfig | None:
        """What the image says of itself: its file holds it, unless it comes from no registry."""
        return None if image.file is None else _config_in(image.file)

    def said(self, image: LocalImage) -> dict[str, Any] | None:
        """What stands in its file."""
        return None if image.file is None else sif_image(image.file)

    def files(self, image: LocalImage) -> AbstractContextManager[Squashfs]:
        """The file system in its file."""
        return sif_files(image.file or "")

    def vouch(self, image: ImageRef, digest: str) -> None:
        """Images are kept by it."""

    def forget(self) -> None:
        """Nothing is kept."""

    def lock_file(self, image: ImageRef, digest: str) -> str:
        """Whoever converts this content holds this."""
        return self._kept.lock_file(digest)

    def plan_fetch(self, image: ImageRef, source: ImageRef, digest: str) -> Sequence[str]:
        """What :meth:`fetch` would run, in a container of its own: see conversion.py."""
        file = self._kept.place(self._kept.writable(), digest)
        from .packing import packing

        packed = packing(self._system.policy, _AUTHFILE_SINCE)
        return apptainer.pull(file, source.pinned(digest), None, {}, packed).argv

    def fetch(
        self, image: ImageRef, source: ImageRef, digest: str, credentials: Credentials
    ) -> Sequence[str]:
        """Convert the image into a file, which gets its name when it is whole.

        The caller holds the lock, so what others left half-done is nobody's.
        """
        store = self._kept.writable()
        work, base = self._kept.workplace(store), base_of(digest)
        _remove_unfinished(work, base)
        unfinished = f"{work}/.{base}.{random_name()}.tmp"
        file = f"{unfinished}/image.sif"
        try:
            with explained(f"make the directory {unfinished}"):
                os.mkdir(unfinished, 0o700)
            argv = self._convert(file, image, source.pinned(digest), credentials)
            with explained(f"keep image {image}"):
                _let_all_read(file)
            check_architecture(f"use image {image}", sif_architecture(file))
            self._warn(file, image)
            with explained(f"keep image {image}"):
                self._kept.put(file, store, digest, self._system)
        finally:
            remove_tree(unfinished)
        self._kept.name(store, image, digest)
        return argv

    def lend(self, image: LocalImage, launch: Launch) -> AbstractContextManager[None]:
        """A run needs no more than the file, which the kernel keeps while it is open."""
        if launch.config is not None:
            make_named(launch, launch.config)
            for mount in apptainer.own_places(launch):
                os.mkdir(mount.source, 0o700)
        return nullcontext()

    def as_image(self, launch: Launch) -> Launch:
        """apptainer takes a directory as it takes a file."""
        return replace(launch, config=ImageConfig())

    def lend_directory(self, launch: Launch) -> None:
        """apptainer reads nothing beside it."""

    def rooms(self) -> Sequence[Room]:
        """Layers as they arrive and unpacked, beside each other; and the file."""
        return Room(building(self._system.account.engine_environ), 4, deep=False), Room(
            self._kept.writable(), 1
        )

    def listing(self) -> list[LocalImage]:
        """All images that have a name, the shared ones first."""
        return self._kept.listing(self._named, self._system.tell)

    def remove(self, image: ImageRef) -> None:
        """Remove an image's name, and its file with the last name.

        A run that has it open goes on: the kernel keeps the file until then.
        """
        file = self._kept.forget(image)
        if file is not None:
            with explained(f"remove image {image}"):
                self._kept.remove(file, self._system.account)

    def _convert(
        self, file: str, image: ImageRef, source: str, credentials: Credentials
    ) -> Sequence[str]:
        # only who fetches pays for loading it
        from ....system.authfile import auth_file, login_for
        from .packing import packing, version_in

        parsed = ImageRef.parse(source)
        account = self._system.account
        # apptainer looks for stored credentials in a place of its own: it is handed what we found
        login = login_for(parsed, credentials, account, self._system.process)
        with (
            transfer(building(self._system.account.engine_environ), account) as room,
            auth_file(login, (parsed,), account) as authfile,
            _trust(parsed, account) as trust,
        ):
            env = dict(trust)
            asked = self._system.process.run(apptainer.version())
            version = version_in(asked.check("ask apptainer its version").stdout)
            if login.given and version < _AUTHFILE_SINCE:
                env.update(zip(_LOGIN_VARIABLES, (login.username, login.password)))
                authfile = None
            packed = packing(self._system.policy, version)
            inside = conversion(room, os.path.dirname(file), account)

            def converted(*options: str) -> Sequence[str]:
                command = apptainer.pull(file, source, authfile, env, (*options, *packed))
                command = inside.enclose(command, authfile)
                return room.run(command, image, apptainer.hint, self._system)

            try:
                return converted()
            except CesError as error:
                if not apptainer.is_closed(error.said):
                    raise
            self._system.tell(f"{image} is closed to its owner: trying again with --fix-perms")
            return converted("--fix-perms")

    def _warn(self, file: str, image: ImageRef) -> None:
        config = _config_in(file)
        if config is not None:
            warn_of(config, image, self._system.tell)

    def _named(self, file: str, image: ImageRef) -> LocalImage:
        return self._local(file, image, self._kept.digest_in(file))

    def _local(self, file: str, image: ImageRef | None, digest: str) -> LocalImage:
        """
        :param digest: nothing for a file that is in no store: whoever made it chose its name.
        """
        with looked_at(file):
            status, architecture = os.stat(file), sif_architecture(file)
        return LocalImage(
            runner="apptainer",
            id=digest.partition(":")[2],
            digest=digest,
            digests=(image.pinned(digest),) if image else (),
            names=(str(image),) if image else (),
            size=status.st_size,
            created=utc_second(status.st_mtime),
            architecture=architecture,
            os="linux",
            file=file,
        )


@contextmanager
def _trust(image: ImageRef, account: Account) -> Iterator[dict[str, str]]:
    """The variable that makes apptainer trust a registry's own authorities.

    It looks in certs.d when it asks for the digest, and not when it fetches (1.4.5). The variable
    replaces the system's bundle, but not its directory.
    """
    from ....system.certificates import certificates_of

    files = certificates_of(image.registry)
    if not files:
        yield {}
        return
    text = "\n".join(read_text(path, "the certificate") for path in files)
    with passing_file(account.make_runtime(), "ca", text) as bundle:
        yield {"SSL_CERT_FILE": bundle}


def _config_in(file: str) -> ImageConfig | None:
    """The image's user is not looked up: apptainer passes it over."""
    said = sif_config(file)
    if said is None:
        return None
    config = ImageConfig.from_image({"config": said})
    config.check_levels(f"use the image file {file}")
    lacks = sif_lacks(file, (config.cwd, *config.volumes))
    # where it cannot be seen what is there, apptainer starts where it usually does
    return replace(config, cwd="") if lacks is None else replace(config, lacks=lacks)


def _remove_unfinished(directory: str, base: str) -> None:
    for name in os.listdir(directory):
        if name.startswith(f".{base}.") and name.endswith(".tmp"):
            remove_tree(f"{directory}/{name}")


def _let_all_read(file: str) -> None:
    """Whatever the umask; what apptainer made must be a file, and no link to one."""
    descriptor = regular(file, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, 0o644)
    finally:
        os.close(descriptor)
