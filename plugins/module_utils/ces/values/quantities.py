# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts that people write: memory, CPUs, durations."""

from __future__ import annotations

from ..errors import InvalidValue
from ..patterns import matches
from ..typed import Optional, Union

GIB = 1024**3
_UNITS = {
    "": GIB,
    **{f"{p}{s}": 1024**n for n, p in enumerate(("k", "m", "g", "t"), 1) for s in ("", "b", "ib")},
}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS_MAX = 12
_WHOLE = r"([0-9]{1,9})"
_DURATION = rf"(?:{_WHOLE}d)?(?:{_WHOLE}h)?(?:{_WHOLE}m)?(?:{_WHOLE}s?)?"
# two numbers alone are minutes and seconds to Slurm, hours and minutes to others
_CLOCK = rf"(?:{_WHOLE}-|(?=[0-9]+:[0-9]+:)){_WHOLE}:([0-9]{{2}})(?::([0-9]{{2}}))?"
SMALLEST_MEMORY = 4 * 1024**2
"""crun and runc need a few MiB to start anything at all."""
_LARGEST_MEMORY = 1024**6
_CPUS = (0.01, 100_000)
"""The kernel gives out CPU time in thousandths of a second, ten times a second."""

Amount = Optional[Union[str, int, float]]


def memory_bytes(value: Amount, what: str = "memory") -> int | None:
    """Bytes from ``4`` (GiB), ``0.5``, ``512M``, ``4GiB``, in powers of 1024; None stays None."""
    if value is None:
        return None
    text = str(value).strip()
    number = text.rstrip(_LETTERS)
    unit = _UNITS.get(text[len(number) :].lower())
    number = number.rstrip()
    if unit is None or not _is_decimal(number):
        raise InvalidValue(
            what, value, "it is no amount of memory", "write 4 (GiB), 4GiB or 512MiB"
        )
    amount = int(float(number) * unit)
    if amount < SMALLEST_MEMORY:
        raise InvalidValue(what, value, "that is less than 4 MiB")
    if amount > _LARGEST_MEMORY:
        raise InvalidValue(what, value, "no machine has that much")
    return amount


def cpu_count(value: Amount, what: str = "cores") -> float | None:
    """A number of CPUs, at least 0.01, fractions allowed (``1.5``); None stays None."""
    if value is None:
        return None
    text = str(value).strip()
    count = float(text) if _is_decimal(text) else 0.0
    if not _CPUS[0] <= count < _CPUS[1]:
        raise InvalidValue(what, value, "it is no number of CPUs", "write 2 or 0.5")
    return count


def duration_seconds(value: Amount, what: str = "timeout") -> float | None:
    """Seconds from ``90``, ``90s``, ``5m``, ``1h30m``, ``2d``, ``HH:MM:SS`` or ``D-HH:MM:SS``."""
    if value is None:
        return None
    text = str(value).strip()
    import re

    match = re.fullmatch(_CLOCK, text) or (re.fullmatch(_DURATION, text) if text else None)
    if match:
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        total = float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    elif _is_decimal(text):
        total = float(text)
    else:
        raise InvalidValue(what, value, "it is no duration", "write 90s, 5m, 1h30m or HH:MM:SS")
    if total <= 0:
        raise InvalidValue(what, value, "it must be longer than nothing")
    return total


def gpu_count(value: Amount, what: str = "gpu") -> tuple[bool, int | None]:
    """Whether GPUs are wanted, and how many: all that there are to be had, or a number.

    A template makes text of ``true``.
    """
    if value is None or isinstance(value, bool):
        return bool(value), None
    text = str(value).strip().lower()
    if text in ("true", "yes", "on", "all"):
        return True, None
    if text in ("false", "no", "off", "0"):
        return False, None
    if matches("[1-9][0-9]{0,3}", text):
        return True, int(text)
    raise InvalidValue(what, value, "it is neither true nor a number of GPUs")


def _is_decimal(text: str) -> bool:
    """Whether that is a number such as ``4`` or ``0.5``, of no more digits than anybody needs."""
    parts = text.split(".", 1)
    return all(part.isascii() and part.isdigit() and len(part) <= _DIGITS_MAX for part in parts)


def spell_bytes(count: int) -> str:
    """Bytes for people: ``4GiB``, ``512MiB``, ``1.5GiB``."""
    for unit, size in (("TiB", 1024**4), ("GiB", GIB), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return f"{count}B"
