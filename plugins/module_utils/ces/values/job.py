# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody asks of the scheduler, and a run as it travels to the node that runs it."""

from __future__ import annotations

import re

from ..dataclass import asdict, dataclass, fields
from ..errors import CesError, InvalidValue
from ..typed import Any, Sequence
from .image import parse_image
from .quantities import Amount, duration_seconds
from .spec import Credentials, Directories, RunSpec

TASKS_MAX = 10_000
"""Tasks of one array: each has a record of its own. Slurm's own MaxArraySize may be lower."""
_WORD = r"[A-Za-z0-9_.,:+@/?=-]{1,1024}"
_LONG = r"--[a-z][a-z0-9-]+(=.*)?"
_PART = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([1-9][0-9]{0,8}))?)?")
OURS = (
    *("--array", "--chdir", "--clusters", "--container", "--container-id", "--error", "--export"),
    *("--export-file", "--get-user-env", "--gid", "--help", "--input", "--job-name", "--output"),
    *("--parsable", "--quiet", "--requeue", "--test-only", "--uid", "--usage", "--verbose"),
    *("--version", "--wait", "--wrap"),
)
"""Options of sbatch that would change what is run, as whom, with what environment, or what we are
answered."""


_LOGIN = ("username", "password", "identity_token")
"""Of the credentials, what travels: an auth file has been read by then."""


@dataclass(frozen=True)
class JobSpec:
    """What a run's job is to have; None leaves it to the site.

    :param time_limit: how long the job may run: seconds, or as people write durations.
    :param gpus: a number, or ``TYPE:NUMBER``.
    :param array: task numbers, ``0-9``, ``1,3,7``, ``0-99:10``, with ``%N`` for at most N at once.
    :param dependency: as ``sbatch --dependency`` has it, ``afterok:4711``.
    :param extra: further options for sbatch, ``--name`` or ``--name=value``.
    :raises InvalidValue: one is not of its form, or would break what we promise of a run.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time_limit: Amount = None
    nodes: int | None = None
    gpus: str | None = None
    array: str | None = None
    dependency: str | None = None
    extra: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("partition", "account", "qos", "dependency"):
            value = getattr(self, name)
            if value is not None and not re.fullmatch(_WORD, value):
                raise InvalidValue(name, value, "it is no name that Slurm could know")
        if self.nodes is not None and self.nodes < 1:
            raise InvalidValue("nodes", self.nodes, "a job has at least one node")
        if self.gpus is not None and not re.fullmatch(r"([A-Za-z0-9_.-]+:)?[0-9]{1,4}", self.gpus):
            raise InvalidValue("gpus", self.gpus, "it is no number", "write 2, or a100:2")
        duration_seconds(self.time_limit, "time_limit")
        self.tasks()
        for word in self.extra:
            _check_extra(word)

    def tasks(self) -> list[int]:
        """The array's task numbers in order; none where there is no array."""
        if self.array is None:
            return []
        indices, _percent, at_once = self.array.partition("%")
        found: set[int] = set()
        for part in indices.split(","):
            match = _PART.fullmatch(part)
            if match is None or (_percent and not re.fullmatch("[1-9][0-9]{0,5}", at_once)):
                raise InvalidValue(
                    "array", self.array, "it is no list of tasks", "write 0-9, 1,3,7 or 0-99%4"
                )
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                raise InvalidValue("array", self.array, f"{part} ends before it begins")
            if (last - first) // int(match[3] or 1) >= TASKS_MAX:
                raise InvalidValue("array", self.array, f"it has more than {TASKS_MAX} tasks")
            found.update(range(first, last + 1, int(match[3] or 1)))
        if len(found) > TASKS_MAX:
            raise InvalidValue("array", self.array, f"it has more than {TASKS_MAX} tasks")
        return sorted(found)

    @property
    def time_limit_minutes(self) -> int | None:
        """Whole minutes, rounded up, as Slurm counts."""
        seconds = duration_seconds(self.time_limit, "time_limit")
        return None if seconds is None else max(1, int(-(-seconds // 60)))


def _check_extra(word: str) -> None:
    if not re.fullmatch(_LONG, word) or any(ord(char) < 32 for char in word):
        raise InvalidValue(
            "an option of sbatch", word, "it is not of the form --name or --name=value"
        )
    name = word.partition("=")[0]
    # sbatch takes every beginning of a name that is no other's
    if any(ours.startswith(name) for ours in OURS):
        raise InvalidValue(
            "an option of sbatch",
            word,
            "it would change what the job runs, or how it is followed",
            "leave it out: partition, array, env, outputs and the like are options of the run",
        )


def written(spec: RunSpec, extra_env: dict[str, str] | None = None) -> dict[str, Any]:
    """A run as plain data, for the private file that a job reads. It holds secrets."""
    facts = {field.name: getattr(spec, field.name) for field in fields(spec)}
    login = facts.pop("credentials")
    return {
        **facts,
        "image": str(spec.image),
        "env": {**spec.env, **(extra_env or {})},
        "directories": asdict(spec.directories),
        **{name: getattr(login, name) for name in _LOGIN},
    }


def read(raw: Any, origin: str) -> RunSpec:
    """The run that :func:`written` gave.

    :raises CesError: it is none.
    """
    try:
        facts = dict(raw)
        login = {name: facts.pop(name) for name in _LOGIN}
        return RunSpec(
            **{
                **facts,
                "image": parse_image(facts["image"], "/"),
                "directories": Directories(**facts["directories"]),
                "credentials": Credentials(**login),
            }
        )
    except (TypeError, KeyError, ValueError) as error:
        raise CesError(f"read the run in {origin}", said=f"it is none: {error}") from error
