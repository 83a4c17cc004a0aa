# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen in an image's files."""

from __future__ import annotations

from ..dataclass import dataclass, field
from ..typed import Iterator, Mapping

NOTHING, FILE, DIRECTORY, LINK, OTHER = "nothing", "file", "directory", "link", "other"
"""What a name in a directory is; the last one is a device, a FIFO or a socket."""
DANGLING, BLOCKED, UNSEEN = "dangling", "blocked", "unseen"
"""What else a path may lead to: a link leads nowhere; something on the way is no directory; this
user cannot see it."""
ELF, SCRIPT, UNKNOWN = "elf", "script", "unknown"
"""How a file can be executed; Linux executes none of the last kind."""


@dataclass(frozen=True)
class Program:
    """A file that is to be executed.

    :param word: as it is named.
    :param path: where it is looked for; ``PATH`` where it is in none of the directories there.
    :param kind: what is there.
    :param executable: somebody may execute it.
    :param form: ``ELF``, ``SCRIPT``, ``UNKNOWN``, or ``UNSEEN`` where it cannot be read.
    :param processor: what an ``ELF`` is for, as registries spell it.
    :param next: what has to be executed in its place: a program's loader, a script's interpreter.
    """

    word: str
    path: str
    kind: str
    executable: bool = False
    form: str = UNSEEN
    processor: str = ""
    next: Program | None = None

    @property
    def chain(self) -> Iterator[Program]:
        """This, and all that is executed in its place."""
        one: Program | None = self
        while one is not None:
            yield one
            one = one.next


@dataclass(frozen=True)
class Strangers:
    """Files of other owners than a container can have.

    :param count: how many were found.
    :param path: the first one; ``uid`` and ``gid``: its owner's numbers on this host.
    """

    count: int = 0
    path: str = ""
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Inside:
    """What was seen.

    :param program: what a run without arguments starts; None where the image does not say.
    :param command: the first word behind its entry point, which may be a program, too.
    :param shell: its ``/bin/sh``.
    :param places: what the paths lead to at which a run mounts directories.
    :param start: what its working directory leads to.
    :param strangers: None where the files do not show whose they were.
    :param cuda: versions of the CUDA runtimes in it.
    :param forward: it has the libraries with which an older driver does (cuda-compat).
    :param partly: not all files were looked at: there are too many.
    """

    program: Program | None
    command: Program | None
    shell: Program
    places: Mapping[str, str] = field(default_factory=dict)
    start: str = DIRECTORY
    strangers: Strangers | None = None
    cuda: tuple[str, ...] = ()
    forward: bool = False
    partly: bool = False
