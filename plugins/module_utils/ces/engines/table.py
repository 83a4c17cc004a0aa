# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines: what each can do and how it is told. A new engine is a new row."""

from __future__ import annotations

from ..dataclass import dataclass
from ..errors import InvalidValue
from ..typed import Callable, Mapping, Sequence
from ..values.options import Option
from ..values.policy import NETWORKS
from ..values.resources import Resources
from .apptainer import command as apptainer
from .command import Command, Launch
from .oci import command as oci
from .podman import command as podman


@dataclass(frozen=True)
class Runner:
    """One engine.

    :param engine: its program, which must be on PATH.
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
    :param kill: sends a signal to a container's first process, by the file with its id; None where
        the engine's process passes signals on.
    :param cdi: it reads CDI specifications itself; others are told what is in them.
    :param gpu_without_spec: it can give GPUs where no CDI specification is installed.
    :param conf: it reads containers.conf, in which a site or a user may break what we promise.
    :param delete: removes a directory in which its containers left files of other ids, if they can.
    """

    engine: str
    networks: tuple[str, ...]
    options: tuple[Option, ...]
    hint: Callable[[str], str]
    complaint: Callable[[int, str, str], tuple[int, str] | None]
    run: Callable[[Launch], Command]
    early: Callable[[str], str] | None = None
    environment: Callable[[Mapping[str, str]], str] | None = None
    stop: Callable[[str], Command] | None = None
    kill: Callable[[str, int], Command] | None = None
    remove: Callable[[str], Command] | None = None
    delete: Callable[[str], Command] | None = None
    check: Callable[[Sequence[str], Resources], None] | None = None
    aside: bool = False
    files: bool = False
    reserved: tuple[str, ...] = ()
    shell_names: bool = False
    cdi: bool = False
    gpu_without_spec: bool = False
    conf: bool = False


RUNNERS: Mapping[str, Runner] = {
    "podman": Runner(
        engine="podman",
        networks=NETWORKS,
        options=podman.OPTIONS,
        hint=podman.hint,
        complaint=podman.complaint,
        run=podman.run,
        early=podman.messages,
        environment=podman.environment,
        stop=podman.stop,
        kill=podman.kill,
        remove=podman.remove,
        delete=podman.delete,
        cdi=True,
        conf=True,
    ),
    "apptainer": Runner(
        engine="apptainer",
        networks=("none", "host"),
        options=apptainer.OPTIONS,
        hint=apptainer.hint,
        complaint=apptainer.complaint,
        run=apptainer.run,
        files=True,
        reserved=apptainer.RESERVED,
        shell_names=True,
        gpu_without_spec=True,
    ),
    "oci": Runner(
        engine="crun",
        networks=("none", "host"),
        options=oci.OPTIONS,
        hint=oci.hint,
        complaint=oci.complaint,
        run=oci.run,
        remove=oci.remove,
        check=oci.check,
        aside=True,
    ),
}


def runner_named(name: str) -> Runner:
    """The engine of that name.

    :raises InvalidValue: there is none.
    """
    if name not in RUNNERS:
        from .other_engines import cure

        raise InvalidValue("a runner", name, "there is no runner of that name", cure(name, RUNNERS))
    return RUNNERS[name]
