# SPDX-License-Identifier: GPL-3.0-or-later
"""Processors as registries spell them."""

from __future__ import annotations

from ..shown import shown

_KNOWN = (
    *("386", "amd64", "amd64p32", "arm", "arm64", "arm64be", "armbe", "loong64", "mips", "mips64"),
    *("mips64le", "mips64p32", "mips64p32le", "mipsle", "ppc", "ppc64", "ppc64le", "riscv"),
    *("riscv64", "s390", "s390x", "sparc", "sparc64", "wasm"),
)
"""Processors that images are made for (Go's GOARCH)."""
_ALSO = {"amd64": ("386",)}
"""What a processor executes beside its own programs."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture_of(machine: str) -> str:
    """The architecture of images for a machine, which ``uname`` gives."""
    return _ARCHITECTURES.get(machine, machine)


def is_processor(architecture: str) -> bool:
    """Whether it is a processor's; what is none says nothing, and engines pass it over."""
    return architecture in _KNOWN or architecture in _ARCHITECTURES.values()


def is_run_by(processor: str, here: str) -> bool:
    """Whether a host executes programs for a processor.

    :param here: this host's, see :func:`architecture_of`.
    """
    return processor in (here, *_ALSO.get(here, ()))


def unlike(architecture: str, here: str) -> tuple[str, str] | None:
    """What is wrong with an image for another processor, and what to do; None if it fits.

    :param architecture: the image's; empty where it does not say.
    :param here: this host's, see :func:`architecture_of`.
    """
    if is_run_by(architecture, here) or not is_processor(architecture):
        return None
    return (
        f"it is for {shown(architecture):.40}, and this host is {here}",
        f"ask for a variant of the image for linux/{here}",
    )
