# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether registries answer, all asked at once; and what their clocks say."""

from __future__ import annotations

import threading
import time

from ...dataclass import dataclass
from ...errors import CesError
from ...typed import Mapping, Sequence
from ...values.policy import Policy
from ..https import Https
from ..proxy import proxy_for
from ..registry import host_of

SECONDS = 5.0
"""For each registry; they are asked side by side."""
_GREETS = (200, 401, 403)
"""A registry that wants a login says so."""


@dataclass(frozen=True)
class Greeting:
    """What one registry answered to ``GET /v2/``.

    :param status: of its answer; 0 where there was none.
    :param proxy: by which it was asked, or ''.
    :param said: why it gave no answer that can be used, or ''; ``cure``: what to do then.
    :param ahead: seconds by which its clock is before ours; None where it did not say.
    """

    host: str
    status: int = 0
    proxy: str = ""
    said: str = ""
    cure: str = ""
    ahead: float | None = None

    @property
    def greets(self) -> bool:
        """Whether that is a registry."""
        return self.status in _GREETS


def hosts_of(policy: Policy) -> Sequence[str]:
    """The hosts that images really come from, by the site's policy."""
    places = (entry.rewrite or entry.prefix for entry in policy.registries)
    return tuple(dict.fromkeys(host_of(place.partition("/")[0]) for place in places))


def greetings_of(
    hosts: Sequence[str], environ: Mapping[str, str], seconds: float = SECONDS
) -> tuple[Greeting, ...]:
    """Ask them all; takes that many seconds at most, and a little."""
    found: dict[str, Greeting] = {}

    def ask(host: str) -> None:
        found[host] = _ask(host, environ, seconds)

    # daemons: to look up a name cannot be ended
    threads = [threading.Thread(target=ask, args=(host,), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds + 0.5
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = f"it does not answer within {seconds:g} s"
    return tuple(found.get(host, Greeting(host, said=late, cure=_LATE)) for host in hosts)


_LATE = "try again later; if it lasts, tell the administrator"


def _ask(host: str, environ: Mapping[str, str], seconds: float) -> Greeting:
    by = ""
    try:
        proxy = proxy_for(host, environ)
        by = str(proxy or "")
        conversation = Https(f"ask the registry {host}", environ, (host,), patience=seconds)
        answer = conversation.ask(host, "GET", "/v2/", {})
    except CesError as error:
        return Greeting(host, proxy=by, said=error.said, cure=error.hint)
    ahead = _ahead(answer.headers.get("date", ""), time.time())
    return Greeting(host, answer.status, by, ahead=ahead)


def _ahead(date: str, now: float) -> float | None:
    """By how many seconds a server's clock is before ours (RFC 9110, Date)."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp() - now
    except (TypeError, ValueError, OverflowError, IndexError):
        # the library has an answer or one of these for every text
        return None
