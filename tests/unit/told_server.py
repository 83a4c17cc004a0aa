# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTPS server that answers what a test says; ``system/conftest.py`` starts it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Server(ThreadingHTTPServer):
    """What it answers, and what it was asked.

    :param answers: by method and path without query: status, headers and body. Headers are a
        mapping or pairs. Instead there may be a function of the request's headers, or a ``Whole``.
    :param asked: method, path and headers of each request.
    :param heard: set when those who asked have heard enough of an answer without an end.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Any] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.heard = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a handshake that fails is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server

    def _answer(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.body = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.asked.append((self.command, self.path, headers))
        self.server.bodies.append(self.body)
        answer = self.server.answers.get((self.command, self.path.partition("?")[0]))
        if isinstance(answer, Whole):
            answer.work(self)
            return
        status, more, body = answer(headers) if callable(answer) else answer or (404, {}, b"")
        self.send_response(status)
        pairs = more.items() if isinstance(more, dict) else more
        for key, value in [("Content-Length", str(len(body))), *pairs]:
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = _answer

    def log_message(self, *_args: str) -> None:
        """Nothing: pytest shows what matters."""


class Whole:
    """An answer that does all by itself."""

    def __init__(self, work: Callable[[Handler], None]) -> None:
        self.work = work


@contextmanager
def serving(certificate: Path) -> Iterator[SimpleNamespace]:
    """A server with the certificate of a directory."""
    with Server() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield SimpleNamespace(
                name=f"localhost:{server.server_port}",
                port=server.server_port,
                answers=server.answers,
                asked=server.asked,
                bodies=server.bodies,
                heard=server.heard,
            )
        finally:
            server.shutdown()
            serving.join()
