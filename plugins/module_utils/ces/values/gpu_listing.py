# SPDX-License-Identifier: GPL-3.0-or-later
"""What NVIDIA's driver and its tools say of GPUs, read. No I/O."""

from __future__ import annotations

import re

from ..dataclass import dataclass
from ..typed import Sequence

_GPU = re.compile(r"GPU ([0-9]+): (.+) \(UUID: (GPU-[0-9a-fA-F-]+)\)")
_MIG = re.compile(r"\s+MIG (\S+)\s+Device\s+([0-9]+): \(UUID: (MIG-[0-9A-Za-z/-]+)\)")
_VERSION = re.compile(r"NVRM version: .*?\s([0-9]+\.[0-9]+(?:\.[0-9]+)?)\s")


@dataclass(frozen=True)
class Instance:
    """A part of a GPU (MIG): its number there, its profile (``1g.10gb``) and its UUID."""

    number: int
    profile: str
    uuid: str


@dataclass(frozen=True)
class Listed:
    """A GPU as ``nvidia-smi -L`` has it."""

    number: int
    model: str
    uuid: str
    instances: tuple[Instance, ...] = ()


def parse_listing(text: str) -> tuple[Listed, ...]:
    """The GPUs in the answer of ``nvidia-smi -L``, each with the instances below it."""
    gpus: list[tuple[int, str, str]] = []
    below: dict[int, list[Instance]] = {}
    for line in text.splitlines():
        gpu, mig = _GPU.match(line), _MIG.match(line)
        if gpu:
            gpus.append((int(gpu[1]), gpu[2], gpu[3]))
        elif mig and gpus:
            part = Instance(int(mig[2]), mig[1], mig[3])
            below.setdefault(gpus[-1][0], []).append(part)
    return tuple(Listed(*gpu, tuple(below.get(gpu[0], ()))) for gpu in gpus)


def numbers(listed: Sequence[Listed]) -> dict[str, str]:
    """What CDI calls each by default, by UUID: ``0`` a GPU, ``0:1`` an instance."""
    found = {gpu.uuid: str(gpu.number) for gpu in listed}
    for gpu in listed:
        found.update({part.uuid: f"{gpu.number}:{part.number}" for part in gpu.instances})
    return found


def driver_version(text: str) -> str:
    """The version in ``/proc/driver/nvidia/version``, or nothing."""
    found = _VERSION.search(text)
    return found[1] if found else ""


def gpu_facts(text: str) -> dict[str, str]:
    """The lines ``Model: ...`` of ``/proc/driver/nvidia/gpus/BUS/information``."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def slurm_type(model: str) -> str:
    """What Slurm may call a model: ``NVIDIA A100-SXM4-40GB`` is ``a100-sxm4-40gb``."""
    short = re.sub(r"^(NVIDIA|Tesla|AMD)\s+", "", re.sub(r"^NVIDIA\s+", "", model.strip()))
    return re.sub(r"[^a-z0-9.]+", "-", short.lower()).strip("-")
