# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HTTPS server on this machine that answers what a test says."""

from __future__ import annotations

import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system import certificates


class _Handler(BaseHTTPRequestHandler):
    """Answers from ``server.answers``: (method, path without query) to (status, headers, body).

    Headers are a mapping or pairs. Instead there may be a function of the request's headers, or one
    that takes the whole handler and does as it likes.
    """

    def _answer(self):
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.body = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.asked.append((self.command, self.path, headers))
        self.server.bodies.append(self.body)
        answer = self.server.answers.get((self.command, self.path.partition("?")[0]))
        if getattr(answer, "takes_all", False):
            answer(self)
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

    def log_message(self, *_args):
        """Nothing: pytest shows what matters."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate that this machine does not trust, for this machine."""
    place = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,DNS:auth.localhost,IP:127.0.0.1"),
            *("-days", "2", "-keyout", f"{place}/key.pem", "-out", f"{place}/cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return place


@pytest.fixture
def host(certificate, monkeypatch):
    """A server that keeps what it was asked in ``asked``."""
    # nothing of what this machine trusts: it takes long to load
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    monkeypatch.setenv("SSL_CERT_DIR", str(certificate / "none"))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.answers, server.asked, server.bodies = {}, [], []
        # a handshake that fails is what some tests are about
        server.handle_error = lambda *_args: None
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield SimpleNamespace(
            name=f"localhost:{server.server_port}",
            port=server.server_port,
            answers=server.answers,
            asked=server.asked,
            bodies=server.bodies,
        )
        server.shutdown()
        serving.join()


@pytest.fixture
def trusted(host, certificate, tmp_path, monkeypatch):
    """The server's certificate where engines look for it."""
    place = tmp_path / "certs.d" / host.name
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes((certificate / "cert.pem").read_bytes())
    monkeypatch.setattr(certificates, "_DIRECTORIES", (str(tmp_path / "certs.d"),))
    return host
