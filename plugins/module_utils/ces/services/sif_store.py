# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as files (SIF), kept by digest.

    STORE/digests/sha256-HEX.sif     one file for each content, never changed
    STORE/names/REGISTRY%2FPATH:TAG.sif -> ../digests/...   what the tag was when it was pulled
    STORE/locks/sha256-HEX           held by whoever converts that content

There is one store for each user and, if the policy names one (``sif_dir``), one for all; the one
for all is looked in first, and written where the user may.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone

from ..errors import CesError, NotFound, RefusedByPolicy
from ..runners import apptainer
from ..system.account import Account
from ..system.authfile import auth_file, login_for
from ..system.certificates import certificates_of
from ..system.files import (
    explained,
    passing_file,
    private_directory,
    random_name,
    read_text,
    remove_quietly,
)
from ..system.sif import check_architecture, sif_architecture
from ..system.system import System
from ..values.image import ImageFile, ImageRef
from ..values.spec import Credentials
from .store import LocalImage
from .transfer import transfer

_AUTHFILE_SINCE = (1, 4)
"""The first apptainer that knows ``--authfile`` (its CHANGELOG)."""
_TEMPORARY = "/var/tmp"  # noqa: S108  what is made there is private and has a name of its own
_LOGIN_VARIABLES = ("APPTAINER_DOCKER_USERNAME", "APPTAINER_DOCKER_PASSWORD")
"""What earlier ones know instead."""


class SifStore:
    """The image files that this user may run."""

    lock_mode = 0o664

    def __init__(self, system: System) -> None:
        self._system = system
        account = system.account
        data = account.environ.get("XDG_DATA_HOME", "")
        own = f"{data}/ces/sif" if data.startswith("/") else f"{account.home}/.local/share/ces/sif"
        shared = system.policy.sif_dir
        self._stores = (shared, own) if shared else (own,)
        self._own = own

    def find(self, image: ImageRef, fresh: bool = False) -> LocalImage | None:
        """The image's file, or None; there is nothing to be kept, so it is always fresh."""
        for store in self._stores:
            file = self._file_of(store, image)
            if file is not None:
                return _local(file, image)
        return None

    def open_file(self, image: ImageFile) -> LocalImage:
        """An image that was named by its file.

        :raises CesError: it is no SIF, is for another processor, or did not come from a registry
            and the policy wants that.
        """
        file = os.path.realpath(image.path)
        architecture = sif_architecture(file)
        check_architecture(image.path, architecture)
        digest = _digest_in(file) if self._is_ours(file) else ""
        if not digest and self._system.policy.sif_files != "any":
            raise RefusedByPolicy(
                f"run the image file {image.path}",
                said="it was not pulled from an allowed registry with ces-pull apptainer",
                hint="pull the image; or the administrator sets sif_files to any in policy.json",
            )
        return _local(file, None)

    def forget(self) -> None:
        """Nothing is kept."""

    def lock_file(self, image: ImageRef, digest: str) -> str:
        """Whoever converts this content holds this."""
        store = self._writable()
        self._make(store)
        return f"{store}/locks/{_base(digest)}"

    def plan_fetch(self, image: ImageRef, source: ImageRef, digest: str) -> Sequence[str]:
        """What :meth:`fetch` would run."""
        file = f"{self._writable()}/digests/{_base(digest)}.sif"
        return apptainer.pull(file, source.pinned(digest), None, {}).argv

    def fetch(
        self, image: ImageRef, source: ImageRef, digest: str, credentials: Credentials
    ) -> Sequence[str]:
        """Convert the image into a file, which gets its name when it is whole.

        The caller holds the lock, so what others left half-done is nobody's.
        """
        store = self._writable()
        file = f"{store}/digests/{_base(digest)}.sif"
        _remove_unfinished(f"{store}/digests", _base(digest))
        unfinished = f"{store}/digests/.{_base(digest)}.{random_name()}.tmp"
        try:
            argv = self._convert(unfinished, image, source.pinned(digest), credentials)
            check_architecture(str(image), sif_architecture(unfinished))
            self._warn_if_idle(unfinished, image)
            with explained(f"keep image {image}"):
                os.chmod(unfinished, 0o644)
                os.replace(unfinished, file)
        finally:
            remove_quietly(unfinished)
        self._name(store, image, file)
        return argv

    def listing(self) -> list[LocalImage]:
        """All images that have a name, the shared ones first."""
        return [
            _local(file, image)
            for store in self._stores
            for image in _names_in(store)
            if (file := self._file_of(store, image)) is not None
        ]

    def remove(self, image: ImageRef) -> None:
        """Remove an image's name, and its file with the last name.

        A run that has it open goes on: the kernel keeps the file until then.
        """
        for store in self._stores:
            file = self._file_of(store, image)
            if file is None or not os.access(f"{store}/digests", os.W_OK):
                continue
            with explained(f"remove image {image}"):
                if image.digest is None:
                    os.unlink(_name_path(store, image))
                others = [self._file_of(store, other) for other in _names_in(store)]
                if file not in others:
                    os.unlink(file)
            return
        raise NotFound(
            f"remove image {image}",
            said="it is not among the image files that are yours",
            hint="ces-images lists all",
        )

    def _convert(
        self, file: str, image: ImageRef, source: str, credentials: Credentials
    ) -> Sequence[str]:
        parsed = ImageRef.parse(source)
        account = self._system.account
        # apptainer looks for stored credentials in a place of its own: it is handed what we found
        login = login_for(parsed, credentials, account)
        own = Credentials(*login) if login else Credentials()
        base = account.engine_environ.get("APPTAINER_TMPDIR", _TEMPORARY)
        with (
            transfer(base, account) as room,
            auth_file(own, (parsed,), account) as authfile,
            _trust(parsed, account) as trust,
        ):
            env = {**trust, "APPTAINER_TMPDIR": room.directory}
            if login is not None and self._version() < _AUTHFILE_SINCE:
                env.update(zip(_LOGIN_VARIABLES, login))
                authfile = None
            command = apptainer.pull(file, source, authfile, env)
            return room.run(command, image, apptainer.hint, self._system)

    def _warn_if_idle(self, file: str, image: ImageRef) -> None:
        """An image without ENTRYPOINT and CMD prints its environment and succeeds (1.4.5)."""
        script = self._system.process.run(apptainer.runscript(file)).stdout.splitlines()
        if "OCI_ENTRYPOINT=''" in script and "OCI_CMD=''" in script:
            self._system.tell(
                f"warning: {image} does not say what to run (no ENTRYPOINT, no CMD): give arguments"
            )

    def _version(self) -> tuple[int, ...]:
        finished = self._system.process.run(apptainer.version()).check("ask apptainer its version")
        found = re.search(r"(\d+)\.(\d+)", finished.stdout)
        return tuple(map(int, found.groups())) if found else (0,)

    def _writable(self) -> str:
        """The store for all if this user may write there, else the user's own."""
        first = self._stores[0]
        return first if first != self._own and os.access(first, os.W_OK) else self._own

    def _make(self, store: str) -> None:
        if store == self._own:
            private_directory(store)
        for part in ("digests", "names", "locks"):
            with explained(f"make the directory {store}/{part}"):
                _make_alike(f"{store}/{part}")

    def _name(self, store: str, image: ImageRef, file: str) -> None:
        if image.digest is None:
            replace_link(f"../digests/{os.path.basename(file)}", _name_path(store, image))

    def _file_of(self, store: str, image: ImageRef) -> str | None:
        if image.digest is not None:
            file = f"{store}/digests/{_base(image.digest)}.sif"
        else:
            file = os.path.realpath(_name_path(store, image))
        return file if os.path.isfile(file) else None

    def _is_ours(self, file: str) -> bool:
        directories = (os.path.realpath(f"{store}/digests") for store in self._stores)
        return os.path.dirname(file) in directories


@contextmanager
def _trust(image: ImageRef, account: Account) -> Iterator[dict[str, str]]:
    """The variable that makes apptainer trust a registry's own authorities.

    It looks in certs.d when it asks for the digest, and not when it fetches (1.4.5). The variable
    replaces the system's bundle, but not its directory.
    """
    files = certificates_of(image.registry)
    if not files:
        yield {}
        return
    text = "\n".join(read_text(path, "the certificate") for path in files)
    with passing_file(account.runtime, "ca", text) as bundle:
        yield {"SSL_CERT_FILE": bundle}


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
    replace_link(file, link)


def digest_of_file(file: str) -> str:
    """The digest that an image file was pulled by, if it is one of a store's."""
    return _digest_in(os.path.realpath(file))


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


def _base(digest: str) -> str:
    return digest.replace(":", "-")


def _digest_in(file: str) -> str:
    """The digest that a file in a store is named for."""
    return os.path.basename(file).removesuffix(".sif").replace("-", ":", 1)


def _name_path(store: str, image: ImageRef) -> str:
    # '%' is in no reference, so the names are unmistakable
    return f"{store}/names/{str(image).replace('/', '%2F')}.sif"


def _names_in(store: str) -> Iterator[ImageRef]:
    try:
        names = sorted(os.listdir(f"{store}/names"))
    except FileNotFoundError:
        return
    for name in names:
        try:
            yield ImageRef.parse(name.removesuffix(".sif").replace("%2F", "/"))
        except CesError:  # something else, somebody else's
            continue


def _local(file: str, image: ImageRef | None) -> LocalImage:
    status = os.stat(file)
    digest = _digest_in(file)
    return LocalImage(
        runner="apptainer",
        id=digest.partition(":")[2],
        digest=digest,
        digests=(image.pinned(digest),) if image else (),
        names=(str(image),) if image else (),
        size=status.st_size,
        created=datetime.fromtimestamp(status.st_mtime, timezone.utc).isoformat(timespec="seconds"),
        architecture=sif_architecture(file),
        os="linux",
        file=file,
    )


def _remove_unfinished(directory: str, base: str) -> None:
    for name in os.listdir(directory):
        if name.startswith(f".{base}.") and name.endswith(".tmp"):
            remove_quietly(f"{directory}/{name}")
