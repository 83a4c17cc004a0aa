# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be executed, as data."""

from __future__ import annotations

from ..dataclass import dataclass, field
from ..typed import Mapping


@dataclass(frozen=True)
class Command:
    """An argument list, variables to add to the environment, text for standard input.

    ``without`` are variables that it does not get. ``role`` is the role that installs its program,
    for the message where that is missing. ``directory`` is where it starts, '' where we are.
    ``argv`` holds no secret, ever; ``env`` and ``stdin`` may, and are never logged.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdin: str | None = field(default=None, repr=False)
    without: tuple[str, ...] = ()
    role: str = ""
    directory: str = ""
