# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers of images: the engine and its temporary files end with the pull, however it ends.

An engine that is stopped leaves what it had fetched so far where nobody looks for it, and one whose
pull was killed goes on alone.
"""

from __future__ import annotations

import os

from ...blocks import contextmanager, suppress
from ...dataclass import dataclass
from ...errors import Interrupted, NotFound, RefusedByPolicy
from ...system.account import Account
from ...system.files import (
    passing_file,
    private_directory,
    random_name,
    remove_abandoned,
    remove_quietly,
    remove_tree,
)
from ...system.proc import kill_recorded
from ...system.process import Streams
from ...system.system import System
from ...system.trees import new_directory
from ...typed import Callable, Iterator, Sequence
from ...values.command import Command
from ...values.image import ImageRef

_KIND = "transfer"
_TOO_MUCH = "too much"
_UNPACKED = "rootfs"
_CONVERTED = "squashfs"
_VARIABLES = ("APPTAINER_TMPDIR", "TMPDIR")


@dataclass(frozen=True)
class Transfer:
    """Where an engine works while it fetches.

    :param directory: its temporary files, on a disk with room for them.
    :param pid_file: which process it is.
    :param descriptor: the directory, whatever its name becomes.
    """

    directory: str
    pid_file: str
    descriptor: int

    def run(
        self, command: Command, image: ImageRef, hint: Callable[[str], str], system: System
    ) -> Sequence[str]:
        """Let an engine work in it, one after the other; returns its argument list.

        :param hint: from what the engine says to what to do next.
        :raises Interrupted: we were told to stop.
        :raises RefusedByPolicy: more arrived than the site allows, whatever the manifest said.
        :raises CesError: the engine failed.
        """
        limit = system.policy.image_size_limit

        def watch() -> str:
            return _TOO_MUCH if limit is not None and arrived(self.directory) > limit else ""

        streams = Streams(
            echo=system.echo,
            quoted=True,
            interruptible=True,
            pid_file=self.pid_file,
            watch=None if limit is None else watch,
        )
        finished = system.process.run(command, streams)
        remove_quietly(self.pid_file)
        if _TOO_MUCH in (finished.stopped_by, watch()):
            raise RefusedByPolicy(
                f"pull {image}",
                said=f"more than {limit} bytes arrived, which is what this site allows",
                hint="use a smaller image",
            )
        if finished.stopped_by:
            raise Interrupted(f"pull {image}", finished.stopped_by)
        return finished.check(f"pull {image}", hint(finished.stderr)).argv


@contextmanager
def transfer(base: str, account: Account) -> Iterator[Transfer]:
    """Room for one transfer, gone when the block ends.

    :param base: the directory in which engines keep temporary files.
    """
    _have_base(base, account)
    # pylint: disable-next=used-before-assignment
    with passing_place(base, account) as (room, pid_file), new_directory(room) as descriptor:
        yield Transfer(room, pid_file, descriptor)


@contextmanager
def passing_place(base: str, account: Account) -> Iterator[tuple[str, str]]:
    """A path in a directory, and a ``pid_file``: what is there when the block ends is removed."""
    place = f"{base}/ces-{account.uid}-{random_name()}"
    # the note says what is to be removed when we are killed
    with passing_file(account.make_runtime(), _KIND, place) as note:
        try:
            yield place, _pid_file(note)
        finally:
            _clear(note, place)


def arrived(room: str) -> int:
    """Bytes of an image that an engine has fetched so far.

    Each engine has them in one directory at a time; beside it apptainer has what it makes of them.
    """
    most = 0
    for path, directories, files in os.walk(room):
        directories[:] = [name for name in directories if name != _UNPACKED]
        here = 0
        for name in files:
            if not name.startswith(_CONVERTED):
                with suppress(FileNotFoundError):
                    here += os.lstat(f"{path}/{name}").st_size
        most = max(most, here)
    return most


def _have_base(base: str, account: Account) -> None:
    """Make the directory where it is missing and may be made.

    :raises NotFound: it may not; jobs inherit variables that name a directory of another host.
    """
    if os.path.isdir(base):
        return
    if os.access(os.path.dirname(base), os.W_OK):
        private_directory(base)
        return
    named = [name for name in _VARIABLES if account.environ.get(name) == base]
    raise NotFound(
        f"keep temporary files in {base}",
        said="there is no such directory on this host",
        hint=(
            f"{named[0]} names it: unset that, or let it name a directory that is here"
            if named
            else "the administrator makes it (role container_storage)"
        ),
    )


def sweep_transfers(account: Account) -> None:
    """End the transfers whose pull was killed, and remove what they had fetched."""
    remove_abandoned(account.make_runtime(), (_KIND,), _clear)


def _pid_file(note: str) -> str:
    directory, name = os.path.split(note)
    return f"{directory}/pid-{name}"


def _clear(note: str, room: str) -> None:
    kill_recorded(_pid_file(note))
    remove_quietly(_pid_file(note))
    if os.path.lexists(room):
        remove_tree(room)
