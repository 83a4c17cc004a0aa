# SPDX-License-Identifier: GPL-3.0-or-later
"""The head of a SIF file: whether it is one, and for which processor.

Format: https://github.com/apptainer/sif (pkg/sif/sif.go): 32 bytes of launch script, magic
``SIF_MAGIC`` and NUL, three bytes of version, three of architecture.
"""

from __future__ import annotations

import os

from ..errors import CesError
from .files import explained, regular

_MAGIC_AT = 32
_MAGIC = b"SIF_MAGIC\0"
_ARCHITECTURE_AT = _MAGIC_AT + len(_MAGIC) + 3
_ARCHITECTURES = {
    b"01": "386",
    b"02": "amd64",
    b"03": "arm",
    b"04": "arm64",
    b"05": "ppc64",
    b"06": "ppc64le",
    b"09": "mips64",
    b"11": "s390x",
    b"12": "riscv64",
}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def sif_architecture(path: str) -> str:
    """The architecture that a SIF file is for, as registries spell it; empty if it does not say.

    :raises CesError: the file cannot be read, or is no SIF.
    """
    with explained(f"read the image file {path}"), open(path, "rb", opener=regular) as stream:
        head = stream.read(_ARCHITECTURE_AT + 2)
    if head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
        raise CesError(
            f"run the image file {path}",
            said="it is no SIF file",
            hint="ces-pull apptainer makes one from an image in a registry",
        )
    return _ARCHITECTURES.get(head[_ARCHITECTURE_AT:], "")


def check_architecture(path: str, architecture: str) -> None:
    """Refuse an image for another processor.

    :raises CesError: it is for another one.
    """
    machine = os.uname().machine
    here = _MACHINES.get(machine, machine)
    if architecture and architecture != here:
        raise CesError(
            f"run the image file {path}",
            said=f"it is for {architecture}, and this host is {here}",
            hint=f"ask for a variant of the image for linux/{here}",
        )
