# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a run: the one table that commands and modules have them from.

What they come to is :class:`RunSpec`; a unit test holds the two together. Commands load this to
read their words: it imports little.
"""

from __future__ import annotations

from ..dataclass import dataclass
from ..typed import Any, Mapping

_TEXT = {"type": "str"}
_PATH = {"type": "path"}
_SWITCH = {"type": "bool", "default": False}
_LIST = {"type": "list", "elements": "str", "default": []}


@dataclass(frozen=True)
class RunOption:
    """One option of a run.

    :param field: where :class:`RunSpec` has it, ``directories.project`` for example; empty for an
        option that says how another one is read.
    :param names: as commands have it, ``-c --cores``; empty where they have no such option.
    :param value: what the help of commands calls its value; empty for a switch.
    :param help: one sentence for the help of commands.
    :param repeat: commands take it several times: its values are files.
    :param argument: as modules have it, an entry of Ansible's ``argument_spec`` under the last part
        of ``field``; None where they have no such option.
    :param bundle: who makes a bundle has it too; a text is the help for that.
    """

    field: str
    names: str = ""
    value: str = ""
    help: str = ""
    repeat: bool = False
    argument: Mapping[str, Any] | None = None
    bundle: bool | str = False

    @property
    def key(self) -> str:
        """Its name in modules."""
        return self.field.rpartition(".")[2]


OPTIONS = (
    RunOption("image", argument={"type": "str", "required": True}, bundle=True),
    RunOption(
        "cpus",
        "-c --cores",
        "CORES",
        "number of CPUs, fractions allowed (default: the site's, else all)",
        argument={"type": "float"},
    ),
    RunOption(
        "memory",
        "-m --memory",
        "GIB",
        "memory in GiB, or with a unit: 512MiB (default: the site's, else 4)",
        argument=_TEXT,
    ),
    RunOption(
        "name",
        "-n --name",
        "NAME",
        "name of the container (default: ces-NUMBER)",
        argument=_TEXT,
    ),
    RunOption(
        "gpu",
        "--gpu",
        help="give the container the GPUs: the Slurm job's, else CUDA_VISIBLE_DEVICES, else all",
        argument={"type": "raw", "default": False},
    ),
    RunOption("gpus", "--gpus", "NUMBER", "give it that many of them"),
    RunOption(
        "home",
        "--home",
        help="give the container your home directory, if the site allows it",
        argument=_SWITCH,
    ),
    RunOption(
        "env",
        "--env-file",
        "FILE",
        "environment, one NAME=value a line",
        repeat=True,
        argument={"type": "dict", "default": {}},
        bundle=True,
    ),
    RunOption(
        "",
        "--expand-env",
        help="expand ${NAME} in env files (HOME USER LOGNAME UID TMPDIR SLURM_JOB_ID CES_*)",
        bundle=True,
    ),
    RunOption(
        "options",
        "--opt-file",
        "FILE",
        "options for the runner, as a shell would split them",
        repeat=True,
        argument=_LIST,
    ),
    RunOption(
        "args",
        "--arg-file",
        "FILE",
        "arguments for the container, put before ARGS",
        repeat=True,
        argument=_LIST,
        bundle=True,
    ),
    RunOption(
        "directories.project",
        "--project",
        "NAME",
        "the project whose data are mounted at /safe_data",
        argument=_TEXT,
        bundle=True,
    ),
    RunOption(
        "directories.read_only",
        "--read-only",
        help="mount /safe_data read-only",
        argument=_SWITCH,
        bundle=True,
    ),
    RunOption("directories.safe_data", argument=_PATH),
    RunOption(
        "directories.outputs",
        "--outputs",
        "DIR",
        "directory for /safe_outputs (default: a new ~/outputs-NUMBER)",
        argument=_PATH,
        bundle="directory for /safe_outputs (default: none is mounted)",
    ),
    RunOption(
        "directories.scratch",
        "--scratch",
        "DIR",
        "directory for /scratch (default: a new one, removed at the end)",
        argument=_PATH,
        bundle="directory for /scratch (default: none is mounted)",
    ),
    RunOption(
        "network",
        "--network",
        "MODE",
        "network of the container (default: the site's)",
        argument={"type": "str", "choices": ["none", "pasta", "slirp4netns", "bridge", "host"]},
        bundle=True,
    ),
    RunOption(
        "timeout",
        "--timeout",
        "DURATION",
        "stop the container after that long: 90s, 5m, 1h30m, HH:MM:SS",
        argument=_TEXT,
    ),
    RunOption(
        "pull",
        "--pull",
        "WHEN",
        "fetch the image if it is missing (default), always or never",
        argument={"type": "str", "choices": ["missing", "always", "never"], "default": "missing"},
        bundle=True,
    ),
    RunOption(
        "record_link", "--record-link", "LINK", "make LINK lead to the run's record, for programs"
    ),
)
"""In the order in which the help of commands has them. The runner is an option of its own, and so
are the credentials: pulls have them as well."""


def options_for(bundle: bool) -> tuple[RunOption, ...]:
    """The options of who runs a container, or of who makes a bundle."""
    return tuple(option for option in OPTIONS if option.bundle or not bundle)


def arguments(bundle: bool = False) -> dict[str, dict[str, Any]]:
    """What a module has of them in its ``argument_spec``."""
    return {option.key: dict(option.argument) for option in options_for(bundle) if option.argument}
