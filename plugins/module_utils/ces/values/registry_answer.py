# SPDX-License-Identifier: GPL-3.0-or-later
"""What a registry answers beside the image: how to sign in, where, and when to come back."""

from __future__ import annotations

from ..dataclass import dataclass
from ..typed import Iterable, Mapping

RETRY_MAX = 60.0
"""Seconds; podman waits no longer either before it asks again."""
_FIRST_RETRY = 2.0
"""Seconds before the second try, where the registry names none; doubled each time."""
_TOKEN_MAX = 64 * 1024
"""Bytes; a longer header is refused by every server."""

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PART = rf"""(?x) (?P<name>{_NAME})
  (?: [ \t]*=[ \t]* (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<plain>[^\s,"]*) ) )?"""
"""A scheme, or a parameter with its value."""


@dataclass(frozen=True)
class Challenge:
    """One way to sign in that a registry offers (RFC 9110, section 11).

    :param scheme: its name in small letters: ``basic``, ``bearer``, ``negotiate``.
    """

    scheme: str
    parameters: Mapping[str, str]


def challenges_in(headers: Iterable[str]) -> list[Challenge]:
    """The challenges of all ``WWW-Authenticate`` headers; a header may hold several.

    Every text has an answer, in a time that grows with its length alone.
    """
    import re

    found: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        for part in re.finditer(_PART, header):
            name, quoted, plain = part["name"].lower(), part["quoted"], part["plain"]
            if quoted is None and plain is None:
                found.append((name, {}))
            elif found:
                value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                found[-1][1].setdefault(name, value)
    return [Challenge(scheme, parameters) for scheme, parameters in found]


@dataclass(frozen=True)
class TokenService:
    """Where a registry sends those who sign in.

    :param host: ``host[:port]``.
    :param name: the host alone.
    :param path: with the query that its address has.
    """

    host: str
    name: str
    path: str
    query: str


def token_service(realm: str) -> TokenService | None:
    """The service at an address of https; None if the text is no such address."""
    from urllib.parse import urlsplit

    if not is_visible(realm):
        return None
    try:
        parts = urlsplit(realm)
        # to ask for the port is to check it
        name, _port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme != "https" or not name or "@" in parts.netloc:
        return None
    return TokenService(parts.netloc, name, parts.path or "/", parts.query)


def place_elsewhere(host: str, path: str, location: str) -> TokenService | None:
    """Where the header ``Location`` of this question's answer leads; None if to no such address."""
    from urllib.parse import urljoin

    try:
        return token_service(urljoin(f"https://{host}{path}", location))
    except ValueError:
        return None


def token_in(answer: Mapping[str, object]) -> str | None:
    """The token of a service's answer; None if there is none that a header can carry."""
    for key in ("token", "access_token"):
        token = answer.get(key)
        if isinstance(token, str) and len(token) <= _TOKEN_MAX and is_visible(token):
            return token
    return None


def is_visible(text: str) -> bool:
    """Whether a text is of ASCII characters that one can see, at least one of them."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def seconds_to_wait(retry_after: str | None, tries: int, now: float) -> float | None:
    """How long a registry that is asked too often wants to be left alone; None: for too long.

    :param retry_after: its header: seconds, or a date of HTTP.
    :param tries: how often it was asked.
    :param now: seconds since 1970.
    """
    wanted = _named(retry_after.strip(), now) if retry_after else None
    if wanted is None:
        return min(_FIRST_RETRY * (1 << (tries - 1)), RETRY_MAX)
    return wanted if wanted <= RETRY_MAX else None


def _named(text: str, now: float) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text[:9]) if len(text) < 9 else RETRY_MAX + 1
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, float(parsedate_to_datetime(text).timestamp()) - now)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
