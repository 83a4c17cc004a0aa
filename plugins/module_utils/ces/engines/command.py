# SPDX-License-Identifier: GPL-3.0-or-later
"""What every engine must be told of a run, and what several of them say."""

from __future__ import annotations

from ..dataclass import dataclass, field
from ..errors import CesError
from ..json_text import loads
from ..typed import TYPE_CHECKING, Mapping, Sequence
from ..values.mounts import Mount
from ..values.resources import Resources

if TYPE_CHECKING:
    from ..values.bundle import ImageConfig
    from ..values.gpus import Gpus

_START = (
    "the image has no such directory to start in: put another into an option file ({}=/), or ask"
)
NO_WORKDIR = f"{_START.format('--workdir')} its maker"
NO_CWD = f"{_START.format('--cwd')} its maker"
NO_INTERPRETER = (
    "the image lacks a library of its program, or what a script's first line names (lines that end"
    " as on Windows name nothing): ask its maker"
)
"""What to do where the kernel finds a program, and not what it needs to be executed."""
_MIXED = (
    "the image has an OCI manifest and Docker's configuration, which apptainer alone takes: ask its"
    " maker to push it in one form"
)
REJECTED = (
    (
        "is rejected by policy",
        "containers' policy.json forbids this registry; role podman writes it, and one of your own"
        " in ~/.config/containers counts instead",
    ),
    (
        "source image rejected",
        "the site does not accept its signature, or it has none: ask who signs the site's images,"
        " or the administrator whether policy.json names the key",
    ),
)
"""What is said where policy.json is asked; the first is part of a message with the second."""
IMAGE_ERRORS = (
    ("no image found in", "the image has no variant for this processor: ask its maker for one"),
    (
        "no child with platform",
        "the image has no variant for this processor: ask its maker for one",
    ),
    (
        "exec format error",
        "the image is for another processor, or its program is a script without a first line like"
        " #!/bin/sh: ask its maker",
    ),
    ("missing dynamic library", NO_INTERPRETER),
    ("chdir to `", NO_WORKDIR),
    *(
        (
            part,
            "the program's file has no right to be executed: ask its maker (chmod +x), or name the"
            " program that reads it",
        )
        for part in ("not executable", "image's program: permission denied")
    ),
    *(
        (
            part,
            "the image has a directory where its program should be: give the program as argument,"
            " or ask the image's maker",
        )
        for part in ("not a regular file", "image's program: is a directory")
    ),
    *(
        (part, "the image does not say what to run: give arguments")
        for part in ("cannot find ``", '"": executable file')
    ),
    ("invalid mixed oci image", _MIXED),
    ("v1+json: application/vnd.docker.container.image.v1+json", _MIXED),
    (
        "cannot unmarshal",
        "a field of the image's configuration is of another kind than it must be: ask its maker",
    ),
    *(
        (
            part,
            "what has that name is no container image but other files (a chart or a model, say):"
            " check the name",
        )
        for part in ("artifact with type", "config blob is not correct mediatype")
    ),
    (
        "no extractable oci/docker tar layers",
        "it has no files of an image: it is a chart or a model, say, or an image without layers:"
        " check the name",
    ),
    (
        "diffid",
        "the image's layers are not those that its configuration names: ask its maker to push it"
        " again",
    ),
    (
        "unexpectedly received a manifest list",
        "the image is an index in an index, which apptainer alone takes: ask its maker",
    ),
    (
        "unsupported docker v2s2 media type",
        "the image has Docker's manifest and layers of another form (zstd), which apptainer alone"
        " takes: ask its maker to push it in the OCI form",
    ),
    ("cannot open `/", "the image has no such program: check the arguments and --entrypoint"),
)
"""(part of a message in lower case, what to do next), whichever engine says it."""
FREE_SPACE = (
    "free some space: ces-images lists images with their last use, ces-rm removes one, ces-images"
    " --prune those that you do not use"
)
FILE_IN_PLACE = (
    "the image has a file where a directory is to be mounted, or the other way round: mount yours"
    " elsewhere; where it is none of yours, use the runner oci, or ask the image's maker"
)
_EXEC_REFUSED = '{"msg":"exec container process '
STOP_GRACE = 10
"""Seconds between SIGTERM and SIGKILL, under every engine; podman's own default."""
CGROUPS = "/sys/fs/cgroup"
"""A container that has the host's /sys may only read there: what systemd leaves to a user is that
user's to write, the limits of all of their containers too."""


@dataclass(frozen=True)
class Launch:
    """A run, settled: everything an engine must be told.

    :param image: what the engine finds the image by.
    :param run_id: the run's NUMBER, put on the container as a label.
    :param resources: what the engine is to enforce (nothing that this kernel cannot).
    :param in_job: it runs in a Slurm job: it stays in the job's cgroup, whose limits hold.
    :param limitable: this host can limit what the user's containers take, by cgroups of their own.
    :param config: what the image says of itself, for engines that are told it; None for others.
    :param gpus: the GPUs that it may see; None for none.
    :param env: the container's environment.
    :param home: the user's home, if the container is to have it.
    :param private: the run's own directory, 0700 and in memory.
    :param override_by: the variable that names ``override_file`` to the engine; empty where there
        is no such file.
    """

    image: str
    run_id: int
    name: str
    mounts: tuple[Mount, ...]
    resources: Resources
    network: str
    private: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    home: str | None = None
    options: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    in_job: bool = False
    limitable: bool = True
    override_by: str = ""
    config: ImageConfig | None = None
    gpus: Gpus | None = None

    @property
    def override_file(self) -> str:
        """What the engine reads after its own configuration."""
        return f"{self.private}/containers.conf"

    @property
    def cid_file(self) -> str:
        """Where the engine writes the container's id."""
        return cid_file(self.private)

    @property
    def monitor_file(self) -> str:
        """Where podman writes which process watches the container; it stays when that is over."""
        return f"{self.private}/monitor"

    @property
    def pid_file(self) -> str:
        """Which process the engine is."""
        return pid_file(self.private)

    @property
    def aside_file(self) -> str:
        """Where the engine's own messages are, if it writes them to a file."""
        return f"{self.private}/aside"

    @property
    def env_file(self) -> str:
        """The container's environment in the engine's own form, 0600, where it wants a file."""
        return f"{self.private}/env"


def cid_file(private: str) -> str:
    """The file with the container's id in a run's own directory."""
    return f"{private}/cid"


def pid_file(private: str) -> str:
    """The file with the engine's process in a run's own directory."""
    return f"{private}/pid"


def words_of(image: str, entrypoint: Sequence[str], cmd: Sequence[str]) -> tuple[str, ...]:
    """The program of a container and its arguments.

    :param cmd: the caller's arguments, or what the image has in their place.
    :raises CesError: there is nothing to run.
    """
    # one empty word is no program to podman
    program = () if list(entrypoint) == [""] else entrypoint
    if not program and not cmd:
        raise CesError(
            f"run {image}",
            said="the image does not say what to run: it has no ENTRYPOINT and no CMD",
            hint="give arguments",
        )
    return (*program, *cmd)


def exec_refused(stderr: str) -> tuple[int, str] | None:
    """Exit status and what crun says of a program that the kernel will not execute."""
    last = stderr.rstrip("\n").rpartition("\n")[2]
    if not last.startswith(_EXEC_REFUSED):
        return None
    try:
        said = str(loads(last)["msg"])
    except (ValueError, KeyError):
        return None
    return (127 if "No such file" in said else 126), said


def bind(mount: Mount) -> str:
    """A mount as ``--mount`` has it, which podman and apptainer read alike."""
    read_only = ",ro" if mount.access == "ro" else ""
    source, target = quoted(f"src={mount.source}"), quoted(f"dst={mount.target}")
    return f"type=bind,{source},{target}{read_only}"


def quoted(text: str) -> str:
    """A part of an option's value that engines split at commas (RFC 4180)."""
    if not any(char in text for char in ',"\n'):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
