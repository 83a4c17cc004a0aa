# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that defines the commands: names, options, help.

The options of a run are in the core's table, which the modules have too.
"""

from __future__ import annotations

from ces.engines.table import NAMES
from ces.values.runoptions import options_for


class Option:
    """An option of a command.

    :param names: as they are typed, ``-c`` and ``--cores``; the last long one is the key.
    :param value: what its value is called in the help; empty for a switch.
    :param help: one sentence.
    :param repeat: it may be given several times, and its value is a list.
    """

    def __init__(self, names: str, value: str, help: str, repeat: bool = False) -> None:
        self.names = names.split()
        self.value = value
        self.help = help
        self.repeat = repeat
        self.key = self.names[-1].lstrip("-").replace("-", "_")


class Verb:
    """A command.

    :param name: ``run`` is both ``ces-run`` and ``ces run``.
    :param usage: what follows the options.
    :param summary: one sentence.
    :param door: module of this package with a function ``main(Parsed)``.
    :param options: all but those that every command has; one of the same name takes its place.
    :param takes_runner: its first word may be a runner.
    :param takes_rest: words behind the first one that is no option are the container's, options
        included.
    :param operands: smallest and largest number of words.
    :param alone: an option that takes the place of the words, for programs: no help lists it.
    :param statuses: its exit statuses, where they say more than whether it failed.
    """

    def __init__(
        self,
        name: str,
        usage: str,
        summary: str,
        door: str,
        options: tuple[Option, ...] = (),
        takes_runner: bool = False,
        takes_rest: bool = False,
        operands: tuple[int, int] = (0, 0),
        alone: Option | None = None,
        statuses: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.name = name
        self.usage = usage
        self.summary = summary
        self.door = door
        own = {option.key for option in options}
        self.options = (*options, *(option for option in COMMON if option.key not in own))
        self.takes_runner = takes_runner
        self.takes_rest = takes_rest
        self.operands = operands
        self.alone = alone
        self.statuses = statuses


COMMON = (
    Option("-v --verbose", "", "say what is done, and how"),
    Option("--version", "", "print the version and end"),
    Option("-h --help", "", "print this help and end"),
)
_JSON = Option("--json", "", "print JSON instead of text")
_ALL_OF_IT = Option("-v --verbose", "", "print what is well, too")

_CREDENTIALS = (
    Option("--username", "USER", "user name at the registry"),
    Option("--password-stdin", "", "read the password or token from standard input"),
    Option(
        "--authfile", "FILE", "take the credentials from this file (see containers-auth.json(5))"
    ),
)
_PULL = (
    *_CREDENTIALS,
    Option("--force", "", "pull even if storage has what the registry has"),
    Option("--reuse-sif", "", "keep NAME:TAG.sif if it is there, and say when it is stale"),
    Option("--dry-run", "", "say whether a pull is needed, and end"),
    _JSON,
)


def _of_a_run(bundle: bool = False) -> tuple[Option, ...]:
    """Those of the core's options that are typed."""
    return tuple(
        Option(
            option.names,
            option.value,
            option.bundle if bundle and isinstance(option.bundle, str) else option.help,
            option.repeat,
        )
        for option in options_for(bundle)
        if option.names
    )


_RUN = (
    *_of_a_run(),
    Option("--dry-run", "", "check everything, print what would run, and end"),
    Option(
        "--json", "", "print the run's record as JSON; the container's output is in the log alone"
    ),
)
_RUN_USAGE = "IMAGE|SIF [ARGS...]"
_BUNDLE = (
    Option("--to", "DIR", "the bundle's directory (default: ./NAME-TAG.bundle)"),
    Option("--copy", "", "with a copy of the image's files, where jobs do not see your storage"),
    *_of_a_run(bundle=True),
    Option("--dry-run", "", "say whether there is something to do, and end"),
    _JSON,
)
_JOB = Option("--job", "RUN", "be the Slurm job of that run")
_LEFT_BY_TASK = Option("--left-by-task", "", "the runs of the Slurm task whose epilog calls this")

_RUN_STATUSES = (
    ("0 to 123", "the container's own"),
    ("124", "the container ran longer than --timeout"),
    ("125", "ces failed, or the engine did; the message says what was tried and what to do"),
    ("126, 127", "the container's program cannot be executed, or is not there"),
    ("128+N", "signal N ended the container, or told ces to stop it"),
)

VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            "pull",
            "[USER TOKEN] IMAGE",
            "Fetch an image from an allowed registry into your storage.",
            "pull",
            _PULL,
            takes_runner=True,
            operands=(1, 3),
        ),
        Verb(
            "run",
            _RUN_USAGE,
            "Run a container with /safe_data, /safe_outputs and /scratch mounted.",
            "run",
            _RUN,
            takes_runner=True,
            takes_rest=True,
            operands=(1, 1_000_000),
            alone=_JOB,
            statuses=_RUN_STATUSES,
        ),
        Verb(
            "gpu-run",
            _RUN_USAGE,
            "Run a container with the GPUs: ces-run --gpu.",
            "run",
            _RUN,
            takes_runner=True,
            takes_rest=True,
            operands=(1, 1_000_000),
            statuses=_RUN_STATUSES,
        ),
        Verb(
            "bundle",
            "IMAGE [ARGS...]",
            "Make an OCI bundle of an image, for srun --container, and print its directory.",
            "bundle",
            _BUNDLE,
            takes_rest=True,
            operands=(1, 1_000_000),
        ),
        Verb(
            "check",
            "IMAGE|SIF",
            "Say whether an image will work here; it is fetched with --pull alone.",
            "check",
            (
                Option("--pull", "", "look into its files, too, and fetch it unless it is here"),
                Option("--elsewhere", "", "another host is meant: look at nothing of this one"),
                *_CREDENTIALS,
                _JSON,
                _ALL_OF_IT,
            ),
            takes_runner=True,
            operands=(1, 1),
            statuses=(
                ("0", "it works under the runner that was named, or the site's default"),
                ("1", "it will not work under that one; others may be named as working"),
                ("125", "it could not be looked at; the message says why and what to do"),
            ),
        ),
        Verb(
            "doctor",
            "",
            "Say whether this host, and you on it, can run containers, and how to mend it.",
            "doctor",
            (
                Option("--user", "NAME", "look at that user, for administrators"),
                Option("--canary", "", "really run a container under each engine, too"),
                _JSON,
                _ALL_OF_IT,
            ),
            statuses=(
                ("0", "no fault was found"),
                ("1", "there are faults: they keep containers from running"),
                ("125", "nothing could be looked at; the message says why and what to do"),
            ),
        ),
        Verb(
            "images",
            "",
            "List the images in your storage with their last use, or remove those that you do not"
            " use.",
            "images",
            (
                Option("--prune", "", "remove your images that were not used for long"),
                Option(
                    "--keep-days",
                    "DAYS",
                    "with --prune: keep what was used within so many days (default: what the site"
                    " says, else 30)",
                ),
                Option("--dry-run", "", "with --prune: show what would be removed"),
                _JSON,
            ),
        ),
        Verb(
            "rm",
            "IMAGE...",
            "Remove images from your storage.",
            "rm",
            takes_runner=True,
            operands=(1, 1000),
        ),
        Verb(
            "runs",
            "[ID]",
            "List your runs, the newest first, or show one.",
            "runs",
            (
                Option("--limit", "COUNT", "list at most that many (default: 20; 0 for all)"),
                Option("--state", "STATE", "list only runs in this state, RUNNING for example"),
                _JSON,
            ),
            operands=(0, 1),
        ),
        Verb(
            "stop",
            "ID...",
            "Stop runs, gently at first, and clear away after them.",
            "stop",
            operands=(1, 1000),
            alone=_LEFT_BY_TASK,
        ),
        Verb(
            "clean",
            "",
            "Clear away after runs and pulls whose process was killed.",
            "clean",
            (Option("--job", "ID", "only after runs of this Slurm job, for its epilog"),),
        ),
    )
}

OLD_NAMES = {
    "ces-pm-pull": ("pull", "podman"),
    "ces-pm-run": ("run", "podman"),
    "ces-app-pull": ("pull", "apptainer"),
    "ces-app-run": ("run", "apptainer"),
}
"""Names of the service we follow: (command, runner)."""


def spellings(verb: Verb) -> dict[str, Option]:
    """A command's options by each of their names."""
    known = (*verb.options, verb.alone) if verb.alone else verb.options
    return {name: option for option in known for name in option.names}


def usage(verb: Verb, program: str) -> str:
    """The help of a command."""
    runner = f"[{'|'.join(NAMES)}] "
    if program in OLD_NAMES or not verb.takes_runner:
        runner = ""
    lines = [
        f"usage: {program} {runner}[OPTIONS] {verb.usage}".rstrip(),
        "",
        verb.summary,
        "",
        "options:",
    ]
    left = [
        ", ".join(option.names) + (f" {option.value}" if option.value else "")
        for option in verb.options
    ]
    width = max(map(len, left))
    lines += [f"  {text:<{width}}  {option.help}" for text, option in zip(left, verb.options)]
    return "\n".join(lines) + "\n"


def overview() -> str:
    """The help of ``ces`` itself."""
    width = max(map(len, VERBS))
    rows = [f"  {verb.name:<{width}}  {verb.summary}" for verb in VERBS.values()]
    head = [
        "usage: ces COMMAND ...",
        "",
        "Run containers on sensitive data. Every command is also called ces-COMMAND.",
    ]
    return "\n".join([*head, "", "commands:", *rows, "", "ces COMMAND --help says more."]) + "\n"
