# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities that are trusted for one registry alone (containers-certs.d(5))."""

from __future__ import annotations

import glob

_DIRECTORIES = ("/etc/containers/certs.d", "/etc/docker/certs.d")


def certificates_of(host: str) -> list[str]:
    """The files with the authorities of ``host[:port]``, in the order of their names."""
    return [
        path
        for directory in _DIRECTORIES
        for path in sorted(glob.glob(f"{glob.escape(f'{directory}/{host}')}/*.crt"))
    ]
