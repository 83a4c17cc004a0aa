# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be executed, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..values.mounts import Mount
from ..values.resources import Resources


@dataclass(frozen=True)
class Command:
    """An argument list, variables to add to the environment, text for standard input.

    ``argv`` holds no secret, ever; ``env`` and ``stdin`` may, and are never logged.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdin: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Launch:
    """A run, settled: everything an engine must be told.

    :param image: what the engine finds the image by.
    :param run_id: the run's NUMBER, put on the container as a label.
    :param resources: what the engine is to enforce (nothing that this kernel cannot).
    :param cid_file: where the engine writes the container's id.
    :param env_file: ``NAME=value`` lines, 0600.
    """

    image: str
    run_id: int
    name: str
    mounts: tuple[Mount, ...]
    resources: Resources
    network: str
    cid_file: str
    env_file: str
    options: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
