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
    :param hint: from what it said to what to do next.
    :param delete: removes a directory in which its containers left files of other ids.
    """

    engine: str
    role: str
    networks: tuple[str, ...]
    options: tuple[Option, ...]
    hint: Callable[[str], str]
    run: Callable[[Launch], Command]
    stop: Callable[[str], Command]
    remove: Callable[[str], Command]
    delete: Callable[[str], Command]


RUNNERS: Mapping[str, Runner] = {
    "podman": Runner(
        engine="podman",
        role="podman",
        networks=NETWORKS,
        options=podman.OPTIONS,
        hint=podman.hint,
        run=podman.run,
        stop=podman.stop,
        remove=podman.remove,
        delete=podman.delete,
    ),
}


def runner_named(name: str) -> Runner:
    """The engine of that name.

    :raises InvalidValue: there is none.
    """
    if name not in RUNNERS:
        raise InvalidValue("a runner", name, f"it is none of {', '.join(RUNNERS)}")
    return RUNNERS[name]
