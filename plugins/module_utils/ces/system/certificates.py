# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom we trust: the system's authorities, and those of one registry (containers-certs.d(5))."""

from __future__ import annotations

import glob
import os

from ..blocks import contextmanager
from ..errors import CesError
from ..typed import TYPE_CHECKING, Iterable, Iterator

if TYPE_CHECKING:
    import ssl

_DIRECTORIES = ("/etc/containers/certs.d", "/etc/docker/certs.d")
_PARTIAL_CHAIN = 0x80000
"""``ssl.VERIFY_X509_PARTIAL_CHAIN``, which Python 3.9 does not name."""


def certificates_of(host: str) -> list[str]:
    """The files with the authorities of ``host[:port]``, in the order of their names."""
    return _files_of(host, "crt")


def _files_of(host: str, ending: str) -> list[str]:
    return [
        path
        for directory in _DIRECTORIES
        for path in sorted(glob.glob(f"{glob.escape(f'{directory}/{host}')}/*.{ending}"))
    ]


def trust_in(hosts: Iterable[str]) -> ssl.SSLContext:
    """The system's trust, and the own authorities and client certificates of these hosts.

    Engines check a certificate as Go does. Python 3.13 asks for more: an authority must have a
    ``keyUsage``, which ``openssl req -x509`` does not write.

    :raises CesError: one of the files cannot be used.
    """
    import ssl

    context = ssl.create_default_context(capath=_hashed_trust())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= _PARTIAL_CHAIN
    for host in dict.fromkeys(hosts):
        for path in certificates_of(host):
            with _usable(path):
                context.load_verify_locations(cafile=path)
        for path in _files_of(host, "cert"):
            with _usable(path):
                context.load_cert_chain(path, f"{path[: -len('.cert')]}.key")
    return context


@contextmanager
def _usable(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # OpenSSL's errors are of this kind, too
        raise CesError(
            f"use the certificate {path}",
            said=error.strerror or str(error),
            hint="the administrator corrects it, or lets its key be read",
        ) from None


def _hashed_trust() -> str | None:
    """The system's directory of certificates by hash, or None where there is none.

    OpenSSL reads the one it needs there; the same certificates in one file take 6 ms to load.
    """
    import ssl

    paths = ssl.get_default_verify_paths()
    if paths.openssl_cafile_env in os.environ or paths.openssl_capath_env in os.environ:
        return None
    try:
        names = os.listdir(paths.openssl_capath)
    except OSError:
        return None
    return paths.openssl_capath if any(name.endswith(".0") for name in names) else None
