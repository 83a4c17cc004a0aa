# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a real HTTPS server on this machine that answers as a registry does."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    NotFound,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system import certificates
from ansible_collections.tre.ces.plugins.module_utils.ces.system import registry as module
from ansible_collections.tre.ces.plugins.module_utils.ces.system.registry import Registry
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef

DIGEST = "sha256:" + "1" * 64
LOGIN = ("ada", "p'a\"s $s`id`:\u20ac")
BASIC = "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode()
MANIFEST = {"layers": [{"size": 1000}, {"size": 234}]}


class _Handler(BaseHTTPRequestHandler):
    """Answers from ``server.answers``: (method, path without query) to (status, headers, body)."""

    def _answer(self):
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.server.asked.append((self.command, self.path, headers))
        answer = self.server.answers.get((self.command, self.path.partition("?")[0]))
        status, more, body = answer(headers) if callable(answer) else answer or (404, {}, b"")
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **more}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = _answer

    def log_message(self, *_args):
        """Nothing: pytest shows what matters."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate that this machine does not trust, for this machine."""
    place = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
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
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.answers, server.asked = {}, []
        # a handshake that fails is what some tests are about
        server.handle_error = lambda *_args: None
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield SimpleNamespace(
            name=f"localhost:{server.server_port}", answers=server.answers, asked=server.asked
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


def registry(host, reference="p/app:1", login=None, environ=None):
    return Registry(ImageRef.parse(f"{host.name}/{reference}"), login, environ or {})


def serve(host, status=200, method="HEAD", reference="1", body=b"", **headers):
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    host.answers[method, f"/v2/p/app/manifests/{reference}"] = (status, named, body)


# --- what is asked and answered ---


def test_the_digest_is_one_head_request(trusted):
    serve(trusted, Docker_Content_Digest=DIGEST)
    assert registry(trusted).digest() == DIGEST
    ((method, path, headers),) = trusted.asked
    assert (method, path) == ("HEAD", "/v2/p/app/manifests/1")
    assert "application/vnd.oci.image.index.v1+json" in headers["accept"]
    assert "authorization" not in headers


def test_an_image_with_a_digest_is_asked_for_by_it(trusted):
    serve(trusted, reference=DIGEST, Docker_Content_Digest=DIGEST)
    assert registry(trusted, f"p/app@{DIGEST}").digest() == DIGEST


def test_a_registry_that_sends_no_digest_has_it_computed(trusted):
    body = b'{"layers": []}'
    serve(trusted)
    serve(trusted, method="GET", body=body)
    assert registry(trusted).digest() == f"sha256:{hashlib.sha256(body).hexdigest()}"


def test_a_login_is_sent_as_it_is_and_only_in_the_header(trusted):
    def answer(headers):
        good = headers.get("authorization") == BASIC
        return (200, {"Docker-Content-Digest": DIGEST}, b"") if good else (401, {}, b"")

    trusted.answers["HEAD", "/v2/p/app/manifests/1"] = answer
    assert registry(trusted, login=LOGIN).digest() == DIGEST
    assert all(LOGIN[1] not in path for _method, path, _headers in trusted.asked)


@pytest.mark.parametrize("login", [None, LOGIN])
def test_a_bearer_token_is_fetched_where_the_registry_says(trusted, login):
    def manifest(headers):
        if headers.get("authorization") == "Bearer t0ken":
            return 200, {"Docker-Content-Digest": DIGEST}, b""
        realm = f'realm="https://{trusted.name}/token?a=b"'
        challenge = f'Bearer {realm},service="the registry",scope="repository:p/app:pull"'
        return 401, {"WWW-Authenticate": challenge}, b""

    trusted.answers["HEAD", "/v2/p/app/manifests/1"] = manifest
    trusted.answers["GET", "/token"] = (200, {}, b'{"token": "t0ken"}')
    assert registry(trusted, login=login).digest() == DIGEST
    _first, (_method, path, headers), _third = trusted.asked
    assert path == "/token?a=b&service=the%20registry&scope=repository%3Ap%2Fapp%3Apull"
    assert headers.get("authorization") == (BASIC if login else None)


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="http://{host}/token"',
        'Bearer realm="file:///etc/passwd"',
        'Bearer realm=""',
        'Negotiate x="y"',
        "",
    ],
)
def test_a_login_is_not_sent_to_where_it_could_be_read(trusted, challenge):
    challenge = challenge.format(host=trusted.name)
    serve(trusted, 401, WWW_Authenticate=challenge)
    with pytest.raises(CesError, match="does not accept the user name and token"):
        registry(trusted, login=LOGIN).digest()
    assert len(trusted.asked) == 1


@pytest.mark.parametrize(
    ("status", "login", "said"),
    [
        (401, None, "give a user name and token"),
        (401, LOGIN, "does not accept the user name and token"),
        (403, LOGIN, "may not read the image"),
        (429, None, "too many requests"),
        (500, None, "HTTP 500"),
        (302, None, "HTTP 302"),
    ],
)
def test_a_refusal_says_what_to_do_and_shows_no_secret(trusted, status, login, said):
    serve(trusted, status)
    with pytest.raises(CesError) as caught:
        registry(trusted, login=login).digest()
    assert said in str(caught.value)
    assert f"{trusted.name}/p/app:1" in str(caught.value)
    assert LOGIN[1] not in str(caught.value)


def test_a_missing_tag_is_not_found(trusted):
    with pytest.raises(NotFound, match=r"could not find image .*/p/app:1: .*no such image or tag"):
        registry(trusted).digest()


# --- how large it is ---


def test_the_size_is_that_of_the_layers_for_this_processor(trusted):
    index = {
        "manifests": [
            {"digest": "sha256:other", "platform": {"os": "linux", "architecture": "sparc"}},
            {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "arm64"}},
            {"digest": "sha256:amd", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:attestation"},
        ]
    }
    serve(trusted, method="GET", body=json.dumps(index).encode())
    for reference in ("sha256:amd", "sha256:arm"):
        serve(trusted, method="GET", reference=reference, body=json.dumps(MANIFEST).encode())
    assert registry(trusted).compressed_size() == 1234


@pytest.mark.parametrize("platform", [{}, {"platform": None}])
def test_an_index_in_an_index_and_an_entry_for_any_platform_are_looked_into(trusted, platform):
    for reference, digest in (("1", "sha256:inner"), ("sha256:inner", "sha256:image")):
        arm = {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "sparc"}}
        index = {"manifests": [arm, {"digest": digest, **platform}]}
        serve(trusted, method="GET", reference=reference, body=json.dumps(index).encode())
    serve(trusted, method="GET", reference="sha256:image", body=json.dumps(MANIFEST).encode())
    with pytest.raises(RefusedByPolicy, match="it is 1234 bytes"):
        registry(trusted).check_size(1000)


def test_an_index_that_never_ends_is_no_known_form(trusted):
    index = {"manifests": [{"digest": "sha256:again"}]}
    for reference in ("1", "sha256:again"):
        serve(trusted, method="GET", reference=reference, body=json.dumps(index).encode())
    with pytest.raises(CesError, match="not of a known form"):
        registry(trusted).check_size(1000)


def test_an_image_for_other_processors_only_is_said_so(trusted):
    serve(trusted, method="GET", body=b'{"manifests": []}')
    with pytest.raises(NotFound, match="no variant for linux/"):
        registry(trusted).compressed_size()


@pytest.mark.parametrize(("limit", "refused"), [(None, False), (1234, False), (1233, True)])
def test_an_image_above_a_sites_limit_is_refused(trusted, limit, refused):
    serve(trusted, method="GET", body=json.dumps(MANIFEST).encode())
    if refused:
        with pytest.raises(RefusedByPolicy, match="this site allows"):
            registry(trusted).check_size(limit)
    else:
        registry(trusted).check_size(limit)
    assert bool(trusted.asked) == (limit is not None)


NONSENSE = [
    b"<html>",
    b"[]",
    b"",
    b'{"manifests": 5}',
    b'{"manifests": [5]}',
    b'{"manifests": [{"platform": 5}]}',
    b"{}",
    b'{"layers": 5}',
    b'{"layers": [5]}',
    b'{"layers": [{"size": "big"}]}',
    b"\xff",
]


@pytest.mark.parametrize("body", NONSENSE)
def test_nonsense_is_an_error_and_no_traceback(trusted, body):
    serve(trusted, method="GET", body=body)
    with pytest.raises(CesError, match="could not ask the registry"):
        registry(trusted).compressed_size()


@pytest.mark.parametrize("digest", ["", "x", "sha256:", "sha256:../../x", "md5:" + "0" * 32])
def test_a_digest_that_is_none_is_not_believed(trusted, digest):
    serve(trusted, Docker_Content_Digest=digest)
    body = b"{}"
    serve(trusted, method="GET", body=body)
    assert registry(trusted).digest() == f"sha256:{hashlib.sha256(body).hexdigest()}"


def test_an_endless_answer_is_cut_off(trusted, monkeypatch):
    monkeypatch.setattr(module, "_ANSWER_MAX", 1000)
    serve(trusted, method="GET", body=b"x" * 1001)
    with pytest.raises(CesError, match="longer than"):
        registry(trusted).compressed_size()


# --- trust, and not being there ---


def test_a_certificate_that_nobody_vouches_for_is_refused(host):
    serve(host, Docker_Content_Digest=DIGEST)
    with pytest.raises(CesError, match="its certificate is not trusted") as caught:
        registry(host, login=LOGIN).digest()
    assert "role podman" in str(caught.value)
    assert host.asked == []


def test_a_registry_that_is_down_is_said_so():
    down = Registry(ImageRef.parse("localhost:1/p/app:1"), None, {})
    with pytest.raises(CesError, match=r"localhost:1 does not answer .*try again later"):
        down.digest()


def test_a_registry_whose_name_is_unknown_is_said_so():
    unknown = Registry(ImageRef.parse("registry.invalid/p/app:1"), None, {})
    with pytest.raises(CesError, match=r"registry\.invalid does not answer"):
        unknown.digest()


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy:3128"}, "proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128/"}, "proxy:3128"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "a.io, example.org"}, None),
        ({"https_proxy": "http://proxy:3128", "NO_PROXY": "*"}, None),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "other.org"}, "proxy:3128"),
        ({"http_proxy": "http://proxy:3128"}, None),
    ],
)
def test_the_proxy_of_the_users_environment_is_used(environ, proxy):
    assert module._proxy("registry.example.org:5000", environ) == proxy
