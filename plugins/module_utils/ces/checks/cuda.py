# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of NVIDIA's drivers does for which CUDA.

https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/ (CUDA Toolkit and Minimum Required Driver
Version for CUDA Minor Version Compatibility; before 11, the driver of each toolkit)
"""

from __future__ import annotations

from ..typed import Sequence

_OLDEST = (
    ("13", "580"),
    ("12", "525.60.13"),
    ("11", "450.80.02"),
    ("10.2", "440.33"),
    ("10.1", "418.39"),
    ("10.0", "410.48"),
    ("9.2", "396.26"),
    ("9.1", "390.46"),
    ("9.0", "384.81"),
    ("8.0", "375.26"),
)
"""By version of CUDA, the newest first."""


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers, which compare as versions do."""
    return tuple(int(part) for part in version.split(".") if part.isdigit() and len(part) < 10)


def newest(versions: Sequence[str]) -> str:
    """The newest of the versions; nothing where there is none."""
    return max(versions, key=numbers, default="")


def oldest_driver(version: str) -> str:
    """The oldest driver that does for a CUDA; nothing where no table says it."""
    return next((driver for cuda, driver in _OLDEST if f"{version}.".startswith(f"{cuda}.")), "")
