# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a run: what ran, with what, and how it ended."""

from __future__ import annotations

import time

from ..dataclass import asdict, dataclass, field, fields
from ..shown import shown
from ..typed import Any, Callable, Mapping, Sequence

STATES = (
    "PENDING",
    "RUNNING",
    "COMPLETED",
    "FAILED",
    "TIMEOUT",
    "CANCELLED",
    "OUT_OF_MEMORY",
    "NODE_FAIL",
)
"""The scheduler's own words (squeue(1), JOB STATE CODES)."""
LIVE = ("PENDING", "RUNNING")


@dataclass
class RunRecord:
    """One run. Times are UTC, ISO 8601; ``duration`` is in seconds; ``resources.memory`` in bytes.

    :param run_id: the run's NUMBER, unique per user.
    :param command: the engine's argument list, free of secrets.
    :param scratch_created: the scratch directory is ours and goes when the run ends.
    :param scheduler: ``slurm`` where we submitted the job, else ``none``.
    :param slurm_job_id: as Slurm's commands have it, ``4711``, of a task of an array ``4711_3``.
    :param slurm_raw_id: the number that a task has besides, which Slurm's epilog is told.
    :param deadline: when the time of its Slurm job is over, in seconds since the epoch.
    """

    run_id: int
    state: str = "PENDING"
    reason: str = ""
    rc: int | None = None
    image: str = ""
    digest: str | None = None
    image_id: str | None = None
    runner: str = ""
    name: str = ""
    command: Sequence[str] = ()
    mounts: Sequence[dict[str, str]] = ()
    resources: dict[str, Any] = field(default_factory=dict)
    network: str = ""
    outputs: str = ""
    scratch: str = ""
    scratch_created: bool = False
    log: str = ""
    started: str | None = None
    ended: str | None = None
    duration: float | None = None
    scheduler: str = "none"
    slurm_job_id: str | None = None
    slurm_raw_id: str | None = None
    deadline: float | None = None
    host: str = ""
    user: str = ""
    pid: int | None = None
    warnings: Sequence[str] = ()

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> RunRecord:
        """Read a stored record; keys of other versions are passed over.

        :raises ValueError: naming what is not of its kind: people, and containers that have the
            home, can write into these files.
        """
        known = {item.name for item in fields(cls)}
        values = {key: value for key, value in raw.items() if key in known}
        for key, value in values.items():
            if not _KINDS[cls.__annotations__[key]](value):
                raise ValueError(f"{key} is {value!r:.80}")
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """For storing and for results; the reason may be an engine's or an image's words."""
        return {**asdict(self), "reason": shown(str(self.reason))}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, (int, float)) and abs(value) < 2**53)


def _are_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_text, value))


def _are_mounts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(mount, dict) and _are_texts([*mount.values()]) for mount in value
    )


_KINDS: Mapping[str, Callable[[object], bool]] = {
    "str": _is_text,
    "str | None": lambda value: value is None or _is_text(value),
    "int": _is_whole,
    "int | None": lambda value: value is None or _is_whole(value),
    "float | None": lambda value: value is None or _is_number(value),
    "bool": lambda value: isinstance(value, bool),
    "Sequence[str]": _are_texts,
    "Sequence[dict[str, str]]": _are_mounts,
    "dict[str, Any]": lambda value: isinstance(value, dict),
}
"""By what a field is declared as: whether a value is of that kind."""

_SECOND = "%Y-%m-%dT%H:%M:%S"


def utc_now() -> str:
    """Now, as records have it: ``2026-01-31T12:00:00.123Z``."""
    seconds, rest = divmod(time.time_ns(), 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 10**6:03d}Z"


def utc_second(seconds: float) -> str:
    """A moment since the epoch, as listings have it: ``2026-01-31T12:00:00Z``."""
    return time.strftime(f"{_SECOND}Z", time.gmtime(seconds))


def utc_form(text: str) -> str:
    """The same of a moment as engines write it (RFC 3339): any fraction, any offset."""
    moment, zone = text[:19], text[19:].lstrip(".0123456789")
    if zone in ("Z", "+00:00"):
        return f"{moment}Z"
    if len(moment) < 19 or len(zone) != 6:
        return text
    # slow to load, and only for images that were built elsewhere than in UTC
    from calendar import timegm

    try:
        offset = int(zone[:1] + "1") * (int(zone[1:3]) * 60 + int(zone[4:]))
        return utc_second(timegm(time.strptime(moment, _SECOND)) - offset * 60)
    except (ValueError, OverflowError):  # an image may say anything of when it was made
        return text
