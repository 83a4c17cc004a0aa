# SPDX-License-Identifier: GPL-3.0-or-later
"""A row of the table of engines: what an engine can do, how it is told, where its images are."""

from __future__ import annotations

from ..dataclass import dataclass
from ..typed import TYPE_CHECKING, Callable, Mapping, Sequence

if TYPE_CHECKING:
    from ..system.account import Account
    from ..system.system import System
    from ..values.command import Command
    from ..values.options import Option
    from ..values.resources import Resources
    from .command import Launch
    from .images.store import Store
    from .images.trial import Try
    from .traits import Traits

    Places = Callable[[Account, str], Mapping[str, str]]
    Stores = Callable[[System], Store]


@dataclass(frozen=True)
class Runner:
    """One engine: all that is to be known of it, by whom it may concern.

    :param name: what users call it; the role of that name installs it.
    :param programs: all that the role installs and a run or a pull starts; the first one is the
        engine's own, by which messages call it.
    :param store: gives what makes the store of its images. It loads that, likewise ``traits``,
        ``places`` and ``trial``: a run of one engine does not pay for the others.
    :param traits: what checks must know of it.
    :param places: gives what says where the directories are that it keeps (``Traits.kept``), by
        their names; for a user, and a host whose root may be elsewhere in tests.
    :param trial: gives what runs a container on trial, of a small image (ces-doctor).
    :param networks: the network modes it knows.
    :param options: what researchers may pass by default.
    :param files: its images are files, which can be named instead of an image in a registry.
    :param hint: from what it said to what to do next.
    :param complaint: from its exit status and outputs to ours and what it says went wrong; None if
        it was the container that failed.
    :param early: what it says where it failed before a container ran, from its messages. Such
        an engine writes ``Launch.monitor_file`` as it starts the container; None for others.
    :param check: refuses options and resources that it cannot have.
    :param aside: its messages are in a file of their own, ``Launch.aside_file``.
    :param environment: the text of its env file; None where the command itself has the variables.
    :param reserved: variables that its containers cannot be given.
    :param shell_names: its containers can have only variables that a shell could name.
    :param stop: ends a container gently, by the file with its id; None where a signal to the
        engine's process group does. Likewise ``remove``, which leaves nothing of it.
    :param exists: asks by name whether there is a container, running or not: status 0 if so. None
        for engines that keep no list of containers by name.
    :param kill: sends a signal to a container's first process, by the file with its id; None where
        the engine's process passes signals on.
    :param cdi: it reads CDI specifications itself; others are told what is in them.
    :param gpu_without_spec: it can give GPUs where no CDI specification is installed.
    :param closed: nothing reads options but we: a site cannot allow more of them.
    :param gone: words by which it says that the image of a run has just been removed.
    :param conf: it reads containers.conf, in which a site or a user may break what we promise.
    :param signed_ids: it takes a uid of 2^31 and more for a negative number, and its user for root.
    :param delete: removes a directory in which its containers left files of other ids, if they can.
    """

    name: str
    programs: tuple[str, ...]
    networks: tuple[str, ...]
    options: tuple[Option, ...]
    hint: Callable[[str], str]
    complaint: Callable[[int, str, str], tuple[int, str] | None]
    run: Callable[[Launch], Command]
    store: Callable[[], Stores]
    traits: Callable[[], Traits]
    places: Callable[[], Places]
    trial: Callable[[], Try]
    early: Callable[[str], str] | None = None
    environment: Callable[[Mapping[str, str]], str] | None = None
    stop: Callable[[str], Command] | None = None
    kill: Callable[[str, int], Command] | None = None
    remove: Callable[[str], Command] | None = None
    exists: Callable[[str], Command] | None = None
    delete: Callable[[str], Command] | None = None
    check: Callable[[Sequence[str], Resources], None] | None = None
    aside: bool = False
    files: bool = False
    reserved: tuple[str, ...] = ()
    shell_names: bool = False
    cdi: bool = False
    gpu_without_spec: bool = False
    conf: bool = False
    closed: bool = False
    gone: str = ""
    signed_ids: bool = False

    @property
    def engine(self) -> str:
        """Its own program, which must be on PATH."""
        return self.programs[0]
