# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own shell as an image, to run a container where no image is: under each engine."""

from __future__ import annotations

import os

from ..blocks import contextmanager
from ..dataclass import dataclass, replace
from ..engines.command import Launch
from ..engines.images.store import LocalImage, Store
from ..system.account import Account
from ..system.files import private_directory, remove_tree
from ..system.host.small_root import make_root
from ..system.system import System
from ..typed import Iterator
from ..values.image import ImageFile
from ..values.spec import RunSpec
from .images import store_of
from .plan import plan_run
from .ready import Ready


@dataclass
class HostShell:
    """The small image, in a directory of the user's own, as a run of one engine has it.

    :param store: of the engine's images, which knows how the engine takes a directory.
    """

    store: Store
    directory: str

    def forget(self) -> None:
        """There is nothing to forget: the image is made anew each time."""

    @contextmanager
    def lend(self, image: LocalImage, launch: Launch) -> Iterator[None]:
        """Prepare what the engine reads; the directory is there as long as we are."""
        self.store.lend_directory(replace(launch, image=self.directory))
        yield


@contextmanager
def place_of_images(account: Account, name: str) -> Iterator[str]:
    """A directory where the user's images are, which is removed at the end."""
    data = account.lasting_environ.get("XDG_DATA_HOME") or f"{account.home}/.local/share"
    place = private_directory(f"{data}/ces/{name}-{os.getpid()}")
    try:
        yield place
    finally:
        remove_tree(place)


@contextmanager
def host_shell(runner: str, system: System) -> Iterator[HostShell]:
    """Make the image; at the end of the block it is gone.

    :raises CesError: there is no room, or no shell that can be taken apart.
    """
    with place_of_images(system.account, "verify") as place:
        make_root(f"{place}/image", system.process)
        yield HostShell(store_of(runner, system), f"{place}/image")


def ready_with(shell: HostShell, spec: RunSpec, system: System) -> Ready:
    """A run of the small image, of which nothing is left to be refused.

    :param spec: its image is not looked at: see :func:`named`.
    :raises CesError: the policy, or what this host lacks, refuses it.
    """
    plan = plan_run(spec, system)
    told = shell.store.as_image(plan.launch(0, system.account.home, "", shell.directory))
    plan = replace(plan, options=told.options, config=told.config)
    image = LocalImage(spec.runner, "", "", (), file=told.image)
    return Ready(plan, shell, image)


def named(shell: HostShell) -> ImageFile:
    """The image as a run names it."""
    return ImageFile(shell.directory)
