# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines: what each can do and how it is told. A new engine is a new row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import InvalidValue
from ..values.options import Option
from ..values.policy import NETWORKS
from . import podman
from .command import Command, Launch


@dataclass(frozen=True)
class Runner:
    """One engine.

    :param engine: its program, which must be on PATH.
    :param role: the role that installs it, for messages.
    :param networks: the network modes it knows.
    :param options: what researchers may pass by default.
    :param errors: pairs of a part of its message and what to do next.
    """

    engine: str
    role: str
    networks: tuple[str, ...]
    options: tuple[Option, ...]
    errors: tuple[tuple[str, str], ...]
    run: Callable[[Launch], Command]
    stop: Callable[[str], Command]
    remove: Callable[[str], Command]

    def hint(self, message: str) -> str:
        """What to do about what the engine said."""
        low = message.lower()
        return next((cure for part, cure in self.errors if part.lower() in low), "")


RUNNERS: Mapping[str, Runner] = {
    "podman": Runner(
        engine="podman",
        role="podman",
        networks=NETWORKS,
        options=podman.OPTIONS,
        errors=podman.ERRORS,
        run=podman.run,
        stop=podman.stop,
        remove=podman.remove,
    ),
}


def runner_named(name: str) -> Runner:
    """The engine of that name.

    :raises InvalidValue: there is none.
    """
    if name not in RUNNERS:
        raise InvalidValue("a runner", name, f"it is none of {', '.join(RUNNERS)}")
    return RUNNERS[name]
