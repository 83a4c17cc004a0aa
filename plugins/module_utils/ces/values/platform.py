# SPDX-License-Identifier: GPL-3.0-or-later
"""Processors as registries spell them."""

from __future__ import annotations

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture_of(machine: str) -> str:
    """The architecture of images for a machine, which ``uname`` gives."""
    return _ARCHITECTURES.get(machine, machine)


def unlike(architecture: str, here: str) -> tuple[str, str] | None:
    """What is wrong with an image for another processor, and what to do; None if it fits.

    :param architecture: the image's; empty where it does not say.
    :param here: this host's, see :func:`architecture_of`.
    """
    if architecture in ("", here):
        return None
    return (
        f"it is for {architecture}, and this host is {here}",
        f"ask for a variant of the image for linux/{here}",
    )
