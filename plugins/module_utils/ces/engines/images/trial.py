# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine is given to run a container on trial: its ``images/trial.py`` says how it does.

There the engine gets the small image as it gets images of registries (in podman's storage, as an
image file), and looks at what is its own.
"""

from __future__ import annotations

from ...system.account import Account
from ...system.process import Finished
from ...typed import Callable, Protocol
from ...values.policy import Policy
from ...values.trial import Trial
from ..command import Launch

IN_IMAGE = "etc/written"
"""The file in the image that the container tries to write."""


class Bench(Protocol):
    """A place, a small image, and a run settled.

    ``work`` is a directory of the user's, which is removed at the end. ``launch`` is the run; its
    image is a directory of files below ``work``. ``policy`` is the site's. ``environ`` are
    variables of the engine's own: who needs some puts them there.
    """

    work: str
    launch: Launch
    account: Account
    policy: Policy
    environ: dict[str, str]

    def lend(self) -> Launch:
        """Prepare what the engine reads of the directory; returns what it is told."""

    def do(self, tried: str, *argv: str) -> Finished:
        """Run a program of the engine that prepares something.

        :raises CesError: it failed.
        """

    def run(self, launch: Launch, *silent: str) -> tuple[Finished, Trial]:
        """Run the container, and see what it left.

        :param silent: words that the engine is not told, to hear what it has to say.
        """


Try = Callable[[Bench], Trial]
"""How one engine runs a container on trial."""
