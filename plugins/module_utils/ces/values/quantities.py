# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts that people write: memory, CPUs, durations."""

from __future__ import annotations

import math
import re
from typing import Optional, Union

from ..errors import InvalidValue

GIB = 1024**3
_UNITS = {
    "": GIB,
    **{f"{p}{s}": 1024**n for n, p in enumerate(("k", "m", "g", "t"), 1) for s in ("", "b", "ib")},
}
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
_SMALLEST_MEMORY = 4 * 1024**2
"""crun and runc need a few MiB to start anything at all."""

Amount = Optional[Union[str, int, float]]


def memory_bytes(value: Amount, what: str = "memory") -> int | None:
    """Bytes from ``4`` (GiB), ``0.5``, ``512M``, ``4GiB``; units are powers of 1024; None stays None."""
    if value is None:
        return None
    match = _MEMORY.fullmatch(str(value).strip())
    unit = _UNITS.get(match.group(2).lower()) if match else None
    if match is None or unit is None:
        raise InvalidValue(
            what, value, "it is no amount of memory", "write 4 (GiB), 4GiB or 512MiB"
        )
    amount = int(float(match.group(1)) * unit)
    if amount < _SMALLEST_MEMORY:
        raise InvalidValue(what, value, "that is less than 4 MiB")
    return amount


def cpu_count(value: Amount, what: str = "cores") -> float | None:
    """A number of CPUs above 0, fractions allowed (``1.5``); None stays None."""
    if value is None:
        return None
    try:
        count = float(value)
    except (TypeError, ValueError):
        count = math.nan
    if not 0 < count < 100_000:
        raise InvalidValue(what, value, "it is no number of CPUs", "write 2 or 0.5")
    return count


def duration_seconds(value: Amount, what: str = "timeout") -> float | None:
    """Seconds from ``90``, ``90s``, ``5m``, ``1h30m``, ``2d``, ``HH:MM:SS`` or ``D-HH:MM:SS``."""
    if value is None:
        return None
    text = str(value).strip()
    clock = _CLOCK.fullmatch(text)
    plain = _DURATION.fullmatch(text) if text else None
    if clock:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
    elif plain:
        days, hours, minutes, seconds = (int(part or 0) for part in plain.groups())
    elif re.fullmatch(r"\d+\.\d+", text):
        return float(text)
    else:
        raise InvalidValue(what, value, "it is no duration", "write 90s, 5m, 1h30m or HH:MM:SS")
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total <= 0:
        raise InvalidValue(what, value, "it must be longer than nothing")
    return float(total)


def spell_bytes(count: int) -> str:
    """Bytes for people: ``4GiB``, ``512MiB``, ``1.5GiB``."""
    for unit, size in (("TiB", 1024**4), ("GiB", GIB), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return f"{count}B"
