# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy that a user's environment names for https."""

from __future__ import annotations

from ..dataclass import dataclass
from ..errors import CesError
from ..typed import Mapping

_NAMES = ("https_proxy", "HTTPS_PROXY")
_PORT = 80


@dataclass(frozen=True, repr=False)
class Proxy:
    """Who passes a connection on.

    :param host: without user and password: it may be shown.
    :param login: user and password, if the address has them.
    """

    host: str
    port: int
    login: tuple[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def proxy_for(host: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy to reach ``host[:port]`` by; None for the straight way.

    :raises CesError: the environment names one that we cannot use; its password is not repeated.
    """
    name, named = next(((name, environ[name]) for name in _NAMES if environ.get(name)), ("", ""))
    if not named:
        return None
    # costs 10 ms, and only sites with a proxy need it
    from urllib.request import proxy_bypass

    excluded = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return None if proxy_bypass(host, {"no": excluded}) else _read(name, named)


def _read(name: str, address: str) -> Proxy:
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _unusable(name, "it is no address") from None
    if parts.scheme != "http":
        raise _unusable(name, f"only proxies of http are known here, not of {parts.scheme}")
    if not host:
        raise _unusable(name, "it names no host")
    login = None
    if parts.username is not None:
        login = unquote(parts.username), unquote(parts.password or "")
    return Proxy(host, port or _PORT, login)


def _unusable(name: str, said: str) -> CesError:
    return CesError(
        f"use the proxy in the variable {name}",
        said=said,
        hint="write http://USER:PASSWORD@HOST:PORT, with %XX for characters like @ : / #",
    )
