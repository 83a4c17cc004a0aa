# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy that a user's environment names for https, understood as engines understand it.

Engines are written in Go: https://pkg.go.dev/golang.org/x/net/http/httpproxy
"""

from __future__ import annotations

from ..dataclass import dataclass
from ..errors import CesError
from ..typed import TYPE_CHECKING, Mapping

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_NAMES = ("HTTPS_PROXY", "https_proxy")
_PORT = 80
_HTTPS_PORT = "443"


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
    excluded = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    return None if _is_reached_straight(host, excluded) else _read(name, named)


def _is_reached_straight(host: str, excluded: str) -> bool:
    """Whether a host is this machine, or among those that ``NO_PROXY`` lists."""
    name, port = _host_and_port(host)
    address = _address(name)
    if name == "localhost" or (address is not None and address.is_loopback):
        return True
    entries = [entry.strip() for entry in excluded.split(",")]
    return any(_covers(entry, name, port or _HTTPS_PORT, address) for entry in entries)


def _host_and_port(text: str) -> tuple[str, str]:
    """The parts of ``HOST[:PORT]``; an IPv6 address need not be in brackets if it has no port."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and host[-1] != "]"):
        host, port = text, ""
    return host.strip("[]").lower(), port


def _covers(entry: str, name: str, port: str, address: IPv4Address | IPv6Address | None) -> bool:
    """Whether an entry of ``NO_PROXY`` means this host.

    An entry is ``*``, a network, an address, or a domain; the last two may have a port. A domain
    that begins with a dot means the hosts below it alone.
    """
    if entry == "*":
        return True
    if "/" in entry:
        return address is not None and _is_in(address, entry)
    place, wanted = _host_and_port(entry)
    if not place or wanted not in ("", port):
        return False
    there = _address(place)
    if there is not None:
        return there == address
    domain = place[1:] if place.startswith("*.") else place
    return name.endswith(domain) if domain[0] == "." else f".{name}".endswith(f".{domain}")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    # costs 5 ms, and only sites with a proxy need it
    from ipaddress import ip_address

    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_in(address: IPv4Address | IPv6Address, network: str) -> bool:
    from ipaddress import ip_network

    try:
        return address in ip_network(network, strict=False)
    except ValueError:
        return False


def _read(name: str, address: str) -> Proxy:
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _unusable(name, "it is no address") from None
    if parts.scheme != "http":
        raise _unusable(
            name,
            f"it is a proxy of {parts.scheme}; engines may know those, but our own question to the"
            " registry goes by proxies of http alone",
            f"ask the administrator for a proxy of http, and {_FORM}; or name the registry in"
            " NO_PROXY, if it can be reached without a proxy",
        )
    if not host:
        raise _unusable(name, "it names no host")
    login = None
    if parts.username is not None:
        login = unquote(parts.username), unquote(parts.password or "")
    return Proxy(host, port or _PORT, login)


_FORM = "write http://USER:PASSWORD@HOST:PORT, with %XX for characters like @ : / #"


def _unusable(name: str, said: str, hint: str = _FORM) -> CesError:
    return CesError(f"use the proxy in the variable {name}", said=said, hint=hint)
