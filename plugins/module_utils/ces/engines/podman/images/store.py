# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in a user's podman storage."""

from __future__ import annotations

import os

from ....blocks import nullcontext
from ....dataclass import replace
from ....errors import CesError, Interrupted, InvalidValue, NotFound
from ....json_text import dumps, loads
from ....system.files import read_json, regular, write_atomic
from ....system.process import Finished, Streams
from ....system.system import System
from ....typed import TYPE_CHECKING, AbstractContextManager, Any, Callable, Sequence
from ....values.command import Command
from ....values.image import ImageFile, ImageRef
from ....values.record import utc_form
from ....values.spec import Credentials
from ...command import Launch
from ...images.store import LocalImage, Room
from ...images.transfer import transfer
from .. import command as podman
from ..messages import messages

if TYPE_CHECKING:
    from ....system.layers import Layers
    from .digests import Digests

_LISTING = 64 * 1024 * 1024
"""Bytes of a listing of images that are read: thousands of them."""

_QUESTION = Streams(keep=_LISTING, timeout=300.0, interruptible=True, grace=2.0)
"""podman waits for ever when it opens a FIFO, and for minutes while it stores a large image."""
VOLUMES_MAX = 100
"""Of an image; images of people name a few. A volume takes one of podman's locks (num_locks)."""


class PodmanStore:
    """What this user's podman has.

    Asking podman costs as much as starting a container, so answers are kept until the storage
    changes: images that are there for all processes, in a file, and images that are not there for
    this store alone.
    """

    lock_mode = 0o600

    def __init__(self, system: System) -> None:
        self._system = system
        self._list: str | None = None
        self._absent: dict[str, Sequence[object]] = {}
        """Images that podman did not have, and the state of its storage then."""

    def find(self, image: ImageRef, fresh: bool = False) -> LocalImage | None:
        """The image in storage, or None.

        :param fresh: ask podman in any case.
        """
        answers, name = self._answers(), str(image)
        kept = None if fresh else answers.get(name)
        if kept is not None:
            return kept
        # before asking: a change meanwhile must not go unseen
        noted, state = answers.note(), answers.state()
        if state and not fresh and self._absent.get(name) == state:
            return None
        found = self._inspect(name)
        if found is None:
            self._absent[name] = state
            return None
        found = _digests(noted).apply(found, image)
        answers.put(name, found, noted)
        return found

    def open_file(self, image: ImageFile) -> LocalImage:
        """podman's images are no files."""
        raise InvalidValue(
            "an image of podman", image.path, "it is a file", "name it by its registry"
        )

    def config(self, image: LocalImage) -> None:
        """podman itself reads what an image says."""

    def said(self, image: LocalImage) -> dict[str, Any]:
        """What podman keeps of the image's configuration."""
        said: dict[str, Any] = self._kept(image)["said"]
        return said

    def files(self, image: LocalImage) -> AbstractContextManager[Layers]:
        """The layers' directories, which podman would lay over each other."""
        # only who looks into an image pays for loading it
        from ....system.layers import layers
        from ....system.tree import Unseen

        driver = self._kept(image)["driver"]
        places = driver.get("Data") or {}
        if "UpperDir" not in places:
            raise Unseen(f"podman keeps it in the form {driver.get('Name')!r:.40}")
        below = places.get("LowerDir", "")
        return layers((places["UpperDir"], *filter(None, below.split(":"))))

    def _kept(self, image: LocalImage) -> dict[str, Any]:
        asked = ask(self._system, podman.image_kept(image.id), "for the image's files")
        kept: dict[str, Any] = loads(asked.stdout)
        return kept

    def vouch(self, image: ImageRef, digest: str) -> None:
        """Keep the image's digest beside podman's images: podman does not know it."""
        answers = self._answers()
        if _digests(answers.note()).keep(image, digest):
            answers.forget()

    def forget(self) -> None:
        """Ask podman anew from now on."""
        self._answers().forget()

    def lock_file(self, image: ImageRef, digest: str) -> str:
        """Whoever fetches the image holds this."""
        runtime = self._system.account.make_runtime()
        return f"{runtime}/pull-{digest.rpartition(':')[2][:32]}.lock"

    def plan_fetch(self, image: ImageRef, source: ImageRef, digest: str) -> Sequence[str]:
        """What :meth:`fetch` would run."""
        return podman.pull(str(image), None).argv

    def fetch(
        self, image: ImageRef, source: ImageRef, digest: str, credentials: Credentials
    ) -> Sequence[str]:
        """Transfer the image; the caller holds the lock.

        podman itself knows where to fetch from: registries.conf says what the policy says.
        """
        # only who fetches pays for loading it
        from ....system.authfile import auth_file

        account = self._system.account
        with (
            transfer(self._temporary(), account) as room,
            auth_file(credentials, (image, source), account) as authfile,
        ):
            command = podman.pull(str(image), authfile, room.directory)
            argv = room.run(command, image, podman.hint, self._system)
        self.vouch(image, digest)
        return argv

    def lend(self, image: LocalImage, launch: Launch) -> AbstractContextManager[None]:
        """podman itself keeps an image that a container is made of.

        :raises CesError: its volumes would take too many of the locks that the user's containers
            need.
        """
        if image.volumes > VOLUMES_MAX:
            raise CesError(
                f"run {launch.image}",
                said=f"it names {image.volumes} VOLUMEs, and podman has locks for 2048 in all:"
                f" {VOLUMES_MAX} of an image are made",
                hint="ask its maker for fewer, or use the runner oci or apptainer",
            )
        return nullcontext()

    def as_image(self, launch: Launch) -> Launch:
        """podman is told that it is a root, with a layer over it (``:O``) as images have.

        Its files keep whatever labels SELinux has for them.
        """
        options = (*launch.options, "--security-opt=label=disable", "--rootfs")
        return replace(launch, options=options, image=f"{launch.image}:O")

    def lend_directory(self, launch: Launch) -> None:
        """podman reads nothing beside it."""

    def rooms(self) -> Sequence[Room]:
        """Layers as they arrive, and unpacked in storage."""
        # only who looks at free space pays for loading it
        from .places import places

        found = places(self._system.account)
        return Room(found["temporary"], 1, deep=False), Room(found["storage"], 3)

    def listing(self) -> list[LocalImage]:
        """All images that have a name."""
        finished = ask(self._system, podman.image_list(), "for its images")
        digests = _digests(self._answers().note())
        named = [raw for raw in loads(finished.stdout or "[]") if raw.get("Names")]
        return [image for raw in named for image in digests.apart(_from_listing(raw))]

    def remove(self, image: ImageRef) -> None:
        """Remove an image's name from storage, and its data with the last name.

        :raises NotFound: it is not there.
        :raises CesError: a container uses it.
        """
        if self.find(image, fresh=True) is None:
            raise NotFound(
                f"remove image {image}",
                said="it is not in your storage",
                hint="ces-images lists all",
            )
        tried = f"remove image {image}"
        removed = _answer(self._system, podman.image_remove(str(image)), tried)
        removed.check(tried, hint="a run may be using it: ces-runs lists them")
        _digests(self._answers().note()).keep(image, None)

    def _answers(self) -> _Answers:
        return _Answers(self._system.account.make_runtime(), self._locate)

    def _locate(self) -> str:
        """Where podman keeps its list of images."""
        if self._list is None:
            asked = ask(self._system, podman.storage(), "where it keeps images")
            self._list = asked.stdout.strip()
        return self._list

    def _temporary(self) -> str:
        """Where podman unpacks what it fetches: the administrator chose a disk with room."""
        return ask(self._system, podman.temporary(), "where it unpacks images").stdout.strip()

    def _inspect(self, name: str) -> LocalImage | None:
        finished = ask(self._system, podman.image_lookup(name), f"for the image {name}", _ABSENT)
        if not finished.ok:
            return None
        raw = loads(finished.stdout)
        return LocalImage(
            runner="podman",
            id=raw["id"].removeprefix("sha256:"),
            digest=raw["digest"],
            digests=tuple(raw["digests"] or ()),
            names=tuple(raw["names"] or ()),
            size=raw["size"],
            created=utc_form(raw["created"] or ""),
            architecture=raw["architecture"],
            os=raw["os"],
            volumes=raw.get("volumes", 0),
        )


def _digests(noted: dict[str, Any]) -> Digests:
    """What is kept beside podman's list of images: ``STORAGE/DRIVER-images/images.json``."""
    # a run whose image podman was asked for before needs none of it
    from .digests import Digests

    return Digests(os.path.dirname(os.path.dirname(noted["list"])) if noted else None)


_ABSENT = ("no such image", "image not known")


def ask(system: System, command: Command, what: str, fine: Sequence[str] = ()) -> Finished:
    """podman's answer to a question.

    :param what: how the question ends, for messages.
    :param fine: what it may say instead of an answer.
    :raises CesError: podman did not answer; often it cannot start at all.
    """
    finished = _answer(system, command, f"ask podman {what}")
    if finished.ok or (finished.rc == 125 and any(word in finished.stderr for word in fine)):
        return finished
    said = messages(finished.stderr)
    raise CesError(
        f"ask podman {what}",
        said=said or f"it exited with {finished.rc}",
        hint=podman.hint(said),
        cmd=finished.argv,
        rc=finished.rc,
        stdout=finished.stdout,
        stderr=finished.stderr,
    )


def _answer(system: System, command: Command, tried: str) -> Finished:
    """What podman has to say, if it ends."""
    finished = system.process.run(command, _QUESTION)
    if finished.stopped_by == "timeout":
        raise CesError(
            tried,
            said=f"podman did not answer within {_QUESTION.timeout:g} s",
            hint="another podman of yours may be busy with a large image; or something in"
            " ~/.config/containers is no file, which ces-doctor names",
            cmd=finished.argv,
        )
    if finished.stopped_by:
        raise Interrupted(tried, finished.stopped_by)
    return finished


def _from_listing(raw: dict[str, Any]) -> LocalImage:
    return LocalImage(
        runner="podman",
        id=raw["Id"],
        digest=raw.get("Digest", ""),
        digests=tuple(raw.get("RepoDigests") or ()),
        names=tuple(raw["Names"]),
        size=raw.get("Size", 0),
        created=utc_form(raw.get("CreatedAt") or ""),
        architecture=raw.get("Arch") or "",
        os=raw.get("Os") or "",
    )


class _Answers:
    """podman's answers about images, valid while its list of images says the same.

    Every change of an image replaces ``GRAPHROOT/DRIVER-images/images.json``. The same inode, size
    and time are the same list; after a pull that found nothing new it is another file that says the
    same. Kept in the runtime directory, so a reboot forgets them.
    """

    def __init__(self, directory: str, locate: Callable[[], str]) -> None:
        """
        :param directory: where the answers are kept.
        :param locate: asks podman where its list is.
        """
        self._locate = locate
        self._path = f"{directory}/images.json"
        self._kept: dict[str, Any] = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            kept = read_json(self._path, "kept answers")
        except CesError:
            return {}
        usable = (
            isinstance(kept, dict)
            and isinstance(kept.get("images"), dict)
            and isinstance(kept.get("list"), str)
        )
        return kept if usable else {}

    def get(self, name: str) -> LocalImage | None:
        raw = self._kept.get("images", {}).get(name)
        if raw is None or not self._still_valid():
            return None
        try:
            return LocalImage.from_dict(raw)
        except (KeyError, TypeError):  # kept by another version of this collection
            return None

    def _still_valid(self) -> bool:
        now = _stamp_of(self._kept.get("list", ""))
        if not now or now == self._kept.get("stamp"):
            return bool(now)
        if _content_of(self._kept["list"]) != self._kept.get("content"):
            return False
        self._keep({**self._kept, "stamp": now})
        return True

    def note(self) -> dict[str, Any]:
        """The state of the storage now; empty when it has no list yet."""
        path = self._place()
        stamp = _stamp_of(path)
        return {"list": path, "stamp": stamp, "content": _content_of(path)} if stamp else {}

    def state(self) -> Sequence[object]:
        """What changes with podman's list of images, which may not be there yet.

        Nothing if it cannot be said where the list will be.
        """
        path = self._place()
        return [path, *_stamp_of(path)] if os.path.isdir(os.path.dirname(path)) else []

    def _place(self) -> str:
        path: str = self._kept.get("list", "")
        return path if _stamp_of(path) else self._locate()

    def put(self, name: str, image: LocalImage, noted: dict[str, Any]) -> None:
        if not noted:
            return
        same = self._kept.get("content") == noted["content"]
        images = self._kept.get("images", {}) if same else {}
        self._keep({**noted, "images": {**images, name: image.as_kept()}})

    def forget(self) -> None:
        self._keep({})

    def _keep(self, kept: dict[str, Any]) -> None:
        self._kept = kept
        write_atomic(self._path, dumps(kept), durable=False)


def _stamp_of(path: str) -> Sequence[int]:
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _content_of(path: str) -> str | None:
    # 3 ms, and most runs compare stamps alone
    import hashlib

    try:
        with open(path, "rb", opener=regular) as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return None
