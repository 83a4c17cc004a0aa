# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions over HTTPS to a server that may be hostile: bounded in time and in size."""

from __future__ import annotations

import _thread
import base64
import http.client
import os
import select
import socket
import ssl
import time

from ..blocks import suppress
from ..dataclass import dataclass
from ..errors import CesError, Interrupted
from ..typed import Iterable, Mapping
from ..values.certificate import CURES_BY_CODE
from .certificates import trust_in
from .proxy import Proxy, proxy_for
from .signals import StopSignals

PATIENCE = 60.0
"""Seconds that all answers together may take; a wait that a server asks for is not counted."""
ANSWER_MAX = 4 * 1024 * 1024
"""Bytes of an answer: registries take manifests of that size (OCI distribution specification)."""
_GLANCE = 0.5
"""Seconds after which we look for a signal: who waits beside us may have emptied ``wakeup``."""
_SAID_MAX = 200
"""Characters of a server's own words in a message."""
_REFUSED = "Tunnel connection failed: "
"""How Python's library begins what a proxy answered."""
_PROXY_HINTS = {
    "407": "put your user and password into the proxy's address: http://USER:PASSWORD@HOST:PORT",
    "403": "the administrator of the proxy allows this host",
}


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    :param headers: by their names in small letters; of several with one name the last.
    :param challenges: every ``WWW-Authenticate`` header.
    """

    status: int
    headers: Mapping[str, str]
    challenges: tuple[str, ...]
    body: bytes


class Https:
    """One conversation: of all its questions together, one clock.

    :param tried: what errors say was tried.
    :param trusting: hosts whose own authorities count for every host that is asked.
    :param signals: a noted stop signal ends it.
    :param patience: seconds for all answers together, where ``PATIENCE`` is not meant.
    """

    def __init__(
        self,
        tried: str,
        environ: Mapping[str, str],
        trusting: Iterable[str] = (),
        signals: StopSignals | None = None,
        patience: float | None = None,
    ) -> None:
        self._tried, self._environ, self._signals = tried, environ, signals
        self._trusting = tuple(trusting)
        self._patience = PATIENCE if patience is None else patience
        self._left = self._patience

    def ask(
        self,
        host: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Answer:
        """The answer of ``host[:port]``, whatever its status.

        :raises Interrupted: a signal ended it.
        :raises CesError: there is no answer, or none that can be used.
        """
        proxy = proxy_for(host, self._environ)
        question = _Question(_connection(host, proxy, trust_in((*self._trusting, host))))
        begin = time.monotonic()
        try:
            question.put(method, path, headers, body)
            in_time = self._wait(self._left, question.answered)
            if not in_time or _waited_too_long(question.failure):
                raise self._error(
                    f"{host} does not answer within {self._patience:g} s", "try again later"
                )
        finally:
            question.hang_up()
            self._left = max(0.0, self._left - (time.monotonic() - begin))
        if question.answer is None:
            raise self._explained(question.failure, host, proxy)
        if len(question.answer.body) > ANSWER_MAX:
            raise self._error(f"the answer of {host} is longer than {ANSWER_MAX >> 20} MiB")
        return question.answer

    def pause(self, seconds: float) -> None:
        """Leave the server alone.

        :raises Interrupted: a signal ended it.
        """
        self._wait(seconds)

    def _wait(self, seconds: float, descriptor: int | None = None) -> bool:
        """Whether the descriptor became readable within the time."""
        poll = select.poll()
        wakeup = self._signals.wakeup if self._signals else None
        for wanted in (descriptor, wakeup):
            if wanted is not None:
                poll.register(wanted, select.POLLIN)
        end = time.monotonic() + seconds
        while True:
            told = self._signals.received if self._signals else ""
            if told:
                raise Interrupted(self._tried, told)
            left = end - time.monotonic()
            ready = [found for found, _event in poll.poll(1000 * max(0.0, min(left, _GLANCE)))]
            if descriptor in ready:
                return True
            if left <= 0:
                return False
            if self._signals and wakeup in ready:
                self._signals.drain()

    def _explained(self, error: Exception | None, host: str, proxy: Proxy | None) -> CesError:
        words = (str(error) or type(error).__name__)[:_SAID_MAX]
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._error(
                f"its certificate is not trusted ({host}: {error.verify_message})",
                CURES_BY_CODE.get(
                    error.verify_code,
                    "the administrator gives the registry's ca to the role podman",
                ),
            )
        if words.startswith(_REFUSED):
            answer = words[len(_REFUSED) :]
            return self._error(
                f"the proxy {proxy} refuses to connect us to {host} (HTTP {answer})",
                _PROXY_HINTS.get(answer[:3], "tell the administrator of the proxy"),
            )
        if not isinstance(error, (OSError, OverflowError, http.client.HTTPException)):
            return self._error(f"the answer of {host} is not of HTTP ({words})")
        by = f" by the proxy {proxy}" if proxy else ""
        return self._error(
            f"{host} does not answer{by} ({words})",
            "try again later; if it lasts, tell the administrator",
        )

    def _error(self, said: str, hint: str = "") -> CesError:
        return CesError(self._tried, said=said, hint=hint)


def _waited_too_long(error: Exception | None) -> bool:
    """Whether our own time for a read was over; one that the kernel gave up has a number."""
    return isinstance(error, TimeoutError) and error.errno is None


class _Question:
    """One question and its answer, in a thread of its own.

    The library that does it can be held up for ever, by one byte of a header a second or by
    ``100 Continue`` again and again; looking up a name cannot be ended at all. So a thread does it,
    which may be left behind, and ``answered`` can be waited for beside signals.
    """

    def __init__(self, connection: http.client.HTTPSConnection) -> None:
        self.answer: Answer | None = None
        self.failure: Exception | None = None
        self.answered, self._done = os.pipe2(os.O_CLOEXEC)
        self._connection = connection

    def put(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> None:
        try:
            _thread.start_new_thread(self._ask, (method, path, headers, body))
        except RuntimeError as error:  # this user may have no more threads
            self.failure = OSError(str(error))
            os.close(self._done)

    def hang_up(self) -> None:
        """End it; the thread notices, if it does something."""
        connected = self._connection.sock
        if self.answer is None and connected is not None:
            with suppress(OSError):
                # the method of TLS would also change what the thread works with
                socket.socket.shutdown(connected, socket.SHUT_RDWR)
        os.close(self.answered)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> None:
        try:
            self._connection.request(method, path, body, dict(headers))
            response = self._connection.getresponse()
            whole = response.read(ANSWER_MAX + 1)
            if response.length and len(whole) <= ANSWER_MAX:
                raise http.client.IncompleteRead(whole, response.length)
            fields = {name.lower(): value for name, value in response.getheaders()}
            challenges = response.headers.get_all("WWW-Authenticate") or ()
            self.answer = Answer(response.status, fields, tuple(challenges), whole)
        except Exception as error:  # whatever it is, it is for whoever asked
            self.failure = error
        finally:
            with suppress(Exception):
                self._connection.close()
            os.close(self._done)


def _connection(
    host: str, proxy: Proxy | None, context: ssl.SSLContext
) -> http.client.HTTPSConnection:
    if proxy is None:
        return http.client.HTTPSConnection(host, timeout=PATIENCE, context=context)
    connection = http.client.HTTPSConnection(
        proxy.host, proxy.port, timeout=PATIENCE, context=context
    )
    login = {"Proxy-Authorization": basic(*proxy.login)} if proxy.login else {}
    connection.set_tunnel(host, headers=login)
    return connection


def basic(user: str, password: str) -> str:
    """User and password as a header has them (RFC 7617)."""
    raw = f"{user}:{password}".encode("utf-8", "surrogateescape")
    return "Basic " + base64.b64encode(raw).decode("ascii")
