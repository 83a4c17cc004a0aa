# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers and proxies that mean no good, and authorities as people make them."""

from __future__ import annotations

import _thread
import base64
import os
import select
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from told_server import Handler, Whole, serving

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, Interrupted
from ansible_collections.tre.ces.plugins.module_utils.ces.system import certificates, https
from ansible_collections.tre.ces.plugins.module_utils.ces.system.https import Answer, Https
from ansible_collections.tre.ces.plugins.module_utils.ces.system.proxy import proxy_for
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import StopSignals


def ask(
    host: SimpleNamespace, environ: dict[str, str] | None = None, signals: StopSignals | None = None
) -> Answer:
    return Https("ask the registry", environ or {}, (), signals).ask(host.name, "GET", "/v2/", {})


def _repeat(handler: Handler, text: bytes) -> None:
    """Go on until the test is over, also where nothing is written, which never fails."""
    with suppress(OSError):  # whoever asked has gone
        handler.wfile.write(text)
        while not handler.server.heard.wait(0.02):
            handler.wfile.write(text)
    handler.close_connection = True


def drip(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _repeat(handler, b"a")


def continue_for_ever(handler: Handler) -> None:
    _repeat(handler, b"HTTP/1.1 100 Continue\r\n\r\n")


def say_nothing(handler: Handler) -> None:
    _repeat(handler, b"")


def trailers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    _repeat(handler, b"X: y\r\n")


ENDLESS = [drip, continue_for_ever, say_nothing, trailers]


@pytest.fixture
def endless(trusted: SimpleNamespace, request: pytest.FixtureRequest) -> Iterator[SimpleNamespace]:
    """A server whose answer has no end."""
    work = request.param

    def answer(handler: Handler) -> None:
        trusted.began.set()
        work(handler)

    trusted.began = threading.Event()
    trusted.answers["GET", "/v2/"] = Whole(answer)
    yield trusted
    trusted.heard.set()


@pytest.mark.parametrize("endless", ENDLESS, indirect=True)
def test_one_clock_over_the_whole_answer(
    endless: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https, "PATIENCE", 0.3)
    with pytest.raises(CesError, match=r"localhost:\d+ does not answer within 0\.3 s"):
        ask(endless)


@pytest.mark.parametrize("endless", ENDLESS, indirect=True)
def test_a_signal_ends_a_question(endless: SimpleNamespace) -> None:
    def send() -> None:
        assert endless.began.wait(50)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    with StopSignals() as signals:
        sender.start()
        with pytest.raises(Interrupted) as caught:
            ask(endless, signals=signals)
    sender.join()
    assert caught.value.signal == "SIGTERM"


@pytest.mark.parametrize("endless", [say_nothing], indirect=True)
def test_a_signal_of_which_another_waiter_emptied_the_pipe_ends_a_question(
    endless: SimpleNamespace,
) -> None:
    """As beside an engine that is asked meanwhile: both wait for the same pipe."""
    silent, writer = os.pipe()

    def send() -> None:
        assert endless.began.wait(50)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    with StopSignals() as signals:
        own, signals.wakeup = signals.wakeup, silent
        sender.start()
        try:
            begin = time.monotonic()
            with pytest.raises(Interrupted):
                ask(endless, signals=signals)
            assert time.monotonic() - begin < 20
        finally:
            signals.wakeup = own
            os.close(silent)
            os.close(writer)
    sender.join()


def test_a_signal_ends_a_pause() -> None:
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            Https("ask", {}, (), signals).pause(60)


def test_a_clock_runs_over_all_questions_together(trusted: SimpleNamespace) -> None:
    trusted.answers["GET", "/v2/"] = (200, {}, b"")
    conversation = Https("ask", {})
    conversation.ask(trusted.name, "GET", "/v2/", {})
    assert 0 < conversation._left < https.PATIENCE
    conversation._left = 0.0
    with pytest.raises(CesError, match="does not answer within"):
        conversation.ask(trusted.name, "GET", "/v2/", {})


NONSENSE = [
    b"",
    b"\x1b[31mnonsense\r\n\r\n",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
]


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_an_error_of_ours_and_printable(trusted: SimpleNamespace, text: bytes) -> None:
    def answer(handler: Handler) -> None:
        handler.wfile.write(text)
        handler.close_connection = True

    trusted.answers["GET", "/v2/"] = Whole(answer)
    with pytest.raises(CesError, match="could not ask the registry") as caught:
        ask(trusted)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


# --- proxies ---


def ask_by_proxy(trusted: SimpleNamespace, environ: dict[str, str]) -> Answer:
    """A host that is not called localhost: no proxy is asked for that."""
    name = f"auth.localhost:{trusted.port}"
    return Https("ask the registry", environ, (trusted.name,)).ask(name, "GET", "/v2/", {})


@pytest.fixture
def proxy() -> Iterator[SimpleNamespace]:
    """A proxy that notes what it is asked, and answers ``answer`` instead of passing it on."""
    found = SimpleNamespace(answer=b"", asked=[])

    def serve() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            with connection:
                text = b""
                while b"\r\n\r\n" not in text:
                    chunk = connection.recv(4096)
                    if not chunk:
                        break
                    text += chunk
                found.asked.append(text.decode())
                connection.sendall(found.answer)
                if found.answer.startswith(b"HTTP/1.1 200"):
                    _pass_on(connection, text)

    listener = socket.create_server(("127.0.0.1", 0))
    found.port = listener.getsockname()[1]
    serving = threading.Thread(target=serve)
    serving.start()
    yield found
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    serving.join()


def _pass_on(one: socket.socket, request: bytes) -> None:
    port = request.split()[1].decode().rpartition(":")[2]
    with socket.create_connection(("127.0.0.1", int(port))) as other:
        ends = {one: other, other: one}
        while True:
            for end in select.select(list(ends), [], [])[0]:
                chunk = end.recv(65536)
                if not chunk:
                    return
                ends[end].sendall(chunk)


def test_a_proxy_gets_the_user_and_password_of_its_address(
    trusted: SimpleNamespace, proxy: SimpleNamespace
) -> None:
    trusted.answers["GET", "/v2/"] = (200, {}, b"")
    proxy.answer = b"HTTP/1.1 200 Connected\r\n\r\n"
    environ = {"https_proxy": f"http://us%65r:p%40ss%3A@127.0.0.1:{proxy.port}"}
    assert ask_by_proxy(trusted, environ).status == 200
    ((line, *_rest, _end, _blank),) = [text.split("\r\n") for text in proxy.asked]
    assert line.startswith(f"CONNECT auth.{trusted.name} ")
    basic = base64.b64encode(b"user:p@ss:").decode()
    assert f"Proxy-Authorization: Basic {basic}" in proxy.asked[0]
    ((_method, _path, headers),) = trusted.asked
    assert "proxy-authorization" not in headers


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Proxy \x1b[31mAuth\r\n\r\n", "put your user and password into"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "the administrator of the proxy allows this host"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "tell the administrator of the proxy"),
    ],
)
def test_a_proxy_that_refuses_is_not_taken_for_the_registry(
    trusted: SimpleNamespace, proxy: SimpleNamespace, answer: bytes, said: str
) -> None:
    proxy.answer = answer
    environ = {"https_proxy": f"http://u:s3cret@127.0.0.1:{proxy.port}"}
    with pytest.raises(CesError) as caught:
        ask_by_proxy(trusted, environ)
    words = str(caught.value)
    assert f"the proxy 127.0.0.1:{proxy.port} refuses to connect us to auth.{trusted.name}" in words
    assert said in words
    assert "s3cret" not in words and words.isprintable()
    assert trusted.asked == []


def test_a_proxy_that_is_down_is_named(trusted: SimpleNamespace) -> None:
    with pytest.raises(CesError, match=r"does not answer by the proxy localhost:1 \("):
        ask_by_proxy(trusted, {"https_proxy": "http://localhost:1"})


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, "None"),
        ({"https_proxy": "http://proxy:3128"}, "proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128/"}, "proxy:3128"),
        ({"https_proxy": "http://ada:s3cret@proxy"}, "proxy:80"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "a.io, example.org"}, "None"),
        ({"https_proxy": "http://proxy:3128", "NO_PROXY": "*"}, "None"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "other.org"}, "proxy:3128"),
        ({"http_proxy": "http://proxy:3128"}, "None"),
        ({"https_proxy": "http://small:1", "HTTPS_PROXY": "http://large:2"}, "large:2"),
        ({"https_proxy": "http://proxy:1", "no_proxy": "*", "NO_PROXY": "other.org"}, "proxy:1"),
    ],
)
def test_the_proxy_of_the_users_environment_is_used(environ: dict[str, str], proxy: str) -> None:
    found = proxy_for("registry.example.org:5000", environ)
    assert str(found) == proxy
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("excluded", "host", "straight"),
    [
        ("", "localhost:5000", True),
        ("", "127.0.0.9:5000", True),
        ("", "[::1]:5000", True),
        ("", "localhost.example.org", False),
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.9.9.9/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3:5000", False),
        ("10.0.0.0/8", "10.example.org", False),
        ("10.0.0.0/99, fd00::/8", "[fd00::5]:5000", True),
        ("::/0", "10.1.2.3", False),
        ("10.1.2.3", "10.1.2.3:5000", True),
        ("10.1.2.3:5000", "10.1.2.3:5000", True),
        ("10.1.2.3:443", "10.1.2.3:5000", False),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("fd00::5", "[fd00:0::5]:5000", True),
        ("[fd00::5]:5000", "[fd00::5]:5000", True),
        ("[fd00::5]:443", "[fd00::5]:5000", False),
        ("Example.org", "a.example.ORG:5000", True),
        ("example.org", "example.org", True),
        ("example.org", "anexample.org", False),
        ("example.org:5000", "a.example.org:5000", True),
        ("example.org:443", "a.example.org:5000", False),
        (".example.org", "a.example.org", True),
        (".example.org", "example.org", False),
        ("*.example.org", "a.b.example.org", True),
        ("*.example.org", "example.org", False),
        ("other.org,*", "example.org", True),
        (" , :5000, example.com", "example.org:5000", False),
        ("example.org:443", "example.org:99999", False),
    ],
)
def test_which_hosts_are_reached_without_the_proxy_is_read_as_engines_read_it(
    excluded: str, host: str, straight: bool
) -> None:
    found = proxy_for(host, {"https_proxy": "http://proxy:3128", "NO_PROXY": excluded})
    assert (found is None) == straight


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("socks5://u:s3cret@proxy:1080", "it is a proxy of socks5; .* by proxies of http alone"),
        (
            "https://u:s3cret@proxy:3128",
            "proxy of https; .* ask the administrator .* name the registry in NO_PROXY",
        ),
        ("http://u:s3cret@proxy:http", "it is no address"),
        ("http://u:s3cret@[::1", "it is no address"),
        ("http://u:s3cret@", "it names no host"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(address: str, said: str) -> None:
    with pytest.raises(CesError, match=said) as caught:
        proxy_for("registry.example.org", {"HTTPS_PROXY": address})
    assert "HTTPS_PROXY" in str(caught.value)
    assert "s3cret" not in str(caught.value)


# --- authorities ---


def _signed(place: Path, *, with_key_usage: bool) -> None:
    """An authority, and a certificate of it, as somebody makes them who looks it up."""
    usage = "keyUsage=critical,keyCertSign" if with_key_usage else "nsComment=made by hand"
    commands = [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=Authority"
        f" -keyout ca.key -out ca.pem -addext {usage.replace(' ', '_')}",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost"
        " -keyout key.pem -out request.pem",
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
        " -extfile names -out cert.pem",
    ]
    (place / "names").write_text("subjectAltName=DNS:localhost\n")
    for command in commands:
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True, cwd=place)


def test_an_authority_without_key_usage_is_trusted_as_engines_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.13 refuses it unless told otherwise; ``openssl req -x509`` makes such."""
    _signed(tmp_path, with_key_usage=False)
    monkeypatch.setattr(certificates, "_DIRECTORIES", (str(tmp_path / "certs.d"),))
    place = tmp_path / "certs.d/localhost"
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes((tmp_path / "ca.pem").read_bytes())
    # what Python 3.13 does, on every Python
    usual = ssl.create_default_context

    def strict(**named: Any) -> ssl.SSLContext:
        context = usual(**named)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert _agree(certificates.trust_in(["localhost"]), server) == ""
    context = strict(cafile=str(place / "ca.crt"))
    assert "certificate" in _agree(context, server), "or this test shows nothing"


def _agree(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> str:
    """What the client says against the server; nothing when they shake hands."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for end in (client, server, client, server, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return f"certificate: {error.verify_message}"
    return ""


def test_a_registry_that_wants_a_client_certificate_gets_the_one_of_its_directory(
    trusted: SimpleNamespace, tmp_path: Path, certificate: Path
) -> None:
    place = tmp_path / "certs.d" / trusted.name
    for name in ("cert", "key"):
        (place / f"client.{name}").write_bytes((certificate / f"{name}.pem").read_bytes())
    trusted.answers["GET", "/v2/"] = (200, {}, b"")
    assert ask(trusted).status == 200
    (place / "client.key").unlink()
    with pytest.raises(CesError, match=r"could not use the certificate .*client\.cert"):
        ask(trusted)


def test_a_certificate_file_that_is_none_is_named(trusted: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "certs.d" / trusted.name / "ca.crt").write_text("nonsense")
    with pytest.raises(CesError, match=r"could not use the certificate .*ca\.crt"):
        ask(trusted)


def test_a_registrys_authorities_count_for_its_token_service(
    trusted: SimpleNamespace, certificate: Path
) -> None:
    trusted.answers["GET", "/v2/"] = (200, {}, b"")
    service = f"127.0.0.1:{trusted.port}"
    assert Https("ask", {}, (trusted.name,)).ask(service, "GET", "/v2/", {}).status == 200
    with pytest.raises(CesError, match=r"its certificate is not trusted \(127\.0\.0\.1"):
        Https("ask", {}).ask(service, "GET", "/v2/", {})


def test_who_may_have_no_more_threads_is_told(
    trusted: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_args: Callable[..., Any] | tuple[str, str, dict[str, str], None]) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refused)
    with pytest.raises(CesError, match="can't start new thread"):
        ask(trusted)


def test_a_good_answer_is_not_waited_for(trusted: SimpleNamespace) -> None:
    trusted.answers["GET", "/v2/"] = (200, {"X-One": "1"}, b"body")
    begin = time.monotonic()
    answer = ask(trusted)
    assert (answer.status, answer.headers["x-one"], answer.body) == (200, "1", b"body")
    assert time.monotonic() - begin < 20


def test_a_certificate_for_other_names_is_not_cured_by_its_authority(
    trusted: SimpleNamespace, tmp_path: Path
) -> None:
    """The authority is trusted: what lacks is the address."""
    _signed(tmp_path, with_key_usage=True)
    (tmp_path / "certs.d" / trusted.name / "ca.crt").write_bytes((tmp_path / "ca.pem").read_bytes())
    with serving(tmp_path) as server:
        server.answers["GET", "/v2/"] = (200, {}, b"")
        https = Https("ask", {}, (trusted.name,))
        assert https.ask(server.name, "GET", "/v2/", {}).status == 200
        with pytest.raises(CesError, match="mismatch") as caught:
            https.ask(f"127.0.0.1:{server.port}", "GET", "/v2/", {})
    assert "registry_host_names" in caught.value.hint
    assert "registry's ca" not in caught.value.hint
