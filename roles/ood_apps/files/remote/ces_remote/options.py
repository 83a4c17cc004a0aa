# SPDX-License-Identifier: GPL-3.0-or-later
"""What the arguments of Slurm's commands say that we must know, as the portal writes them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ces.dataclass import dataclass
from ces.errors import InvalidValue

_SHORT_WITH_VALUE = frozenset("AabBcCdDeEFGijJLmMnNoOpqRStuwx")
_LONG_WITH_VALUE = frozenset(
    "account array begin chdir clusters comment constraint cpus-per-task dependency error"  # noqa: SIM905
    " exclude export format Format gpus gpus-per-node gpus-per-task gres input job-name jobs"
    " licenses mail-type mail-user mem mem-per-cpu name nice nodelist nodes ntasks ntasks-per-node"
    " output partition priority qos reservation signal states time tmp user wckey".split()
)
"""Those whose value may be the next word. A value is never taken for an option."""

DIRECTORY = ("D", "chdir")
"""The option that names a job's directory."""

_JOB = re.compile(r"[0-9]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Submission:
    """What a call of sbatch says of places.

    :param directory: the job's directory (``-D``), absolute.
    :param log: where its output goes, relative to that; empty if it goes elsewhere.
    """

    directory: str
    log: str
    variables: tuple[str, ...]


def options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names without dashes, and values; plain words have no name."""
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            yield name, value if equals or name not in _LONG_WITH_VALUE else next(rest, "")
        elif word.startswith("-") and len(word) > 1:
            name, value = word[1], word[2:]
            yield name, next(rest, "") if not value and name in _SHORT_WITH_VALUE else value
        else:
            yield "", word


def last(words: Sequence[str], *names: str) -> str:
    """The value of an option; a later one wins."""
    found = ""
    for name, value in options(words):
        if name in names:
            found = value
    return found


def submission(words: Sequence[str], home: str) -> Submission:
    """Read the arguments of sbatch.

    :raises InvalidValue: the directory is none that can be copied.
    """
    directory = os.path.normpath(last(words, *DIRECTORY))
    if not os.path.isabs(directory):
        raise InvalidValue(
            "directory of the job", directory, "it is not absolute", "submit it with -D DIRECTORY"
        )
    place = os.path.relpath(directory, home)
    if place.split("/")[0] in (".", "..") or place.startswith("."):
        raise InvalidValue(
            "directory of the job",
            directory,
            f"this back-end has home directories of its own, so the directory is copied there, and"
            f" only directories below {home} that are not hidden are",
        )
    output = last(words, "o", "output") or "slurm-%j.out"
    output = os.path.normpath(os.path.join(directory, output))
    inside = output.startswith(f"{directory}/")
    return Submission(
        directory,
        output[len(directory) + 1 :] if inside else "",
        tuple(exported(last(words, "export"))),
    )


def exported(value: str) -> Iterable[str]:
    """Names of the variables that a job is to have from whoever submits it."""
    return (
        name
        for name in value.split(",")
        if _VARIABLE.match(name) and name not in ("ALL", "NONE", "NIL")
    )


def environment(names: Iterable[str], given: Mapping[str, str]) -> dict[str, str]:
    """These variables and no others: the rest of the environment is the portal's own."""
    return {name: given[name] for name in names if name in given}


def log_of(pattern: str, job: str) -> str:
    """The name of a log, as sbatch's patterns have it; empty if we cannot tell."""
    name = re.sub(r"%0*[0-9]*[jA]", job, pattern)
    return "" if "%" in name else name


def job_of(words: Sequence[str]) -> str:
    """The one job that a command is about, of an array the array's; empty if it is not one."""
    named = last(words, "j", "jobs")
    match = _JOB.match(named)
    return match[0] if match and "," not in named else ""


def jobs_named(words: Sequence[str]) -> list[str]:
    """Jobs that a command names as plain words, ``scancel 12 13_4``."""
    found = [_JOB.match(value) for name, value in options(words) if not name]
    return [match[0] for match in found if match]
