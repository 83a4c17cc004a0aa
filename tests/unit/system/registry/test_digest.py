# SPDX-License-Identifier: GPL-3.0-or-later
"""Which digest a registry names, and what becomes of a login: a real HTTPS server answers."""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Callable
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
from asked_registry import ANONYMOUS, DIGEST, LOGIN, registry, serve

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    NotFound,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import Credentials

BASIC = "Basic " + base64.b64encode(f"{LOGIN.username}:{LOGIN.password}".encode()).decode()
REFRESH = "refr&sh"


def test_the_digest_is_one_head_request(trusted: SimpleNamespace) -> None:
    serve(trusted, Docker_Content_Digest=DIGEST)
    assert registry(trusted).digest() == DIGEST
    ((method, path, headers),) = trusted.asked
    assert (method, path) == ("HEAD", "/v2/p/app/manifests/1")
    assert "application/vnd.oci.image.index.v1+json" in headers["accept"]
    assert "authorization" not in headers


def test_an_image_with_a_digest_is_asked_for_by_it(trusted: SimpleNamespace) -> None:
    serve(trusted, reference=DIGEST, Docker_Content_Digest=DIGEST)
    assert registry(trusted, f"p/app@{DIGEST}").digest() == DIGEST


def test_a_registry_that_sends_no_digest_has_it_computed(trusted: SimpleNamespace) -> None:
    body = b'{"layers": []}'
    serve(trusted)
    serve(trusted, method="GET", body=body)
    assert registry(trusted).digest() == f"sha256:{hashlib.sha256(body).hexdigest()}"


def test_a_registry_that_knows_no_head_is_asked_for_the_whole(trusted: SimpleNamespace) -> None:
    serve(trusted, 405)
    serve(trusted, method="GET", body=b"{}", Docker_Content_Digest=DIGEST)
    assert registry(trusted).digest() == DIGEST


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_image_that_is_at_another_place_is_found_there(
    trusted: SimpleNamespace, status: int
) -> None:
    serve(trusted, status, Location="/elsewhere?a=b")
    trusted.answers["HEAD", "/elsewhere"] = (200, {"Docker-Content-Digest": DIGEST}, b"")
    assert registry(trusted, login=LOGIN).digest() == DIGEST
    assert [(path, headers["authorization"]) for _method, path, headers in trusted.asked] == [
        ("/v2/p/app/manifests/1", BASIC),
        ("/elsewhere?a=b", BASIC),
    ]


def test_another_host_gets_no_login(trusted: SimpleNamespace) -> None:
    serve(trusted, 307, Location=f"https://127.0.0.1:{trusted.port}/elsewhere")
    trusted.answers["HEAD", "/elsewhere"] = (200, {"Docker-Content-Digest": DIGEST}, b"")
    assert registry(trusted, login=LOGIN).digest() == DIGEST
    assert "authorization" not in trusted.asked[1][2]


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http://localhost/x", "is no address of https"),
        ("https://[", "is no address of https"),
        ("", "from place to place"),
        ("/v2/p/app/manifests/1", "from place to place"),
    ],
)
def test_a_place_that_leads_nowhere_is_told(
    trusted: SimpleNamespace, location: str, said: str
) -> None:
    serve(trusted, 307, Location=location)
    with pytest.raises(CesError, match=said):
        registry(trusted).digest()


def test_a_login_is_sent_as_it_is_and_only_in_the_header(trusted: SimpleNamespace) -> None:
    def answer(headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        good = headers.get("authorization") == BASIC
        return (200, {"Docker-Content-Digest": DIGEST}, b"") if good else (401, {}, b"")

    trusted.answers["HEAD", "/v2/p/app/manifests/1"] = answer
    assert registry(trusted, login=LOGIN).digest() == DIGEST
    assert all(LOGIN.password not in path for _method, path, _headers in trusted.asked)


@pytest.mark.parametrize("login", [ANONYMOUS, LOGIN])
def test_a_bearer_token_is_fetched_where_the_registry_says(
    trusted: SimpleNamespace, login: Credentials
) -> None:
    def manifest(headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
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
    assert headers.get("authorization") == (BASIC if login.given else None)


@pytest.mark.parametrize(
    ("realm", "said"),
    [
        ("http://{host}/token", "no address of https"),
        ("file:///etc/passwd", "no address of https"),
        ("", "no address of https"),
        ("https://{host}x/token", "no address of https"),
        ("https://localhost:99999/token", "no address of https"),
        ("https://[::1/token", "no address of https"),
        ("https://ada:secret@{host}/token", "no address of https"),
        ("https://localhost.evil.test/token", "not its own host"),
        ("https://notlocalhost/token", "not its own host"),
        ("https://127.0.0.1/token", "not its own host"),
        ("https://\u20ac.{host}/token", "no address of https"),
    ],
)
def test_a_login_is_not_sent_to_where_it_could_be_read(
    trusted: SimpleNamespace, realm: str, said: str
) -> None:
    realm = realm.format(host=trusted.name)
    serve(trusted, 401, WWW_Authenticate=f'Bearer realm="{realm}"'.encode().decode("latin-1"))
    with pytest.raises(CesError, match=said) as caught:
        registry(trusted, login=LOGIN).digest()
    assert "nothing was sent there" in str(caught.value)
    assert len(trusted.asked) == 1


@pytest.mark.parametrize(
    ("realm", "sign_in", "login"),
    [
        ("127.0.0.1", ("127.0.0.1",), LOGIN),
        ("auth.localhost", (), LOGIN),
        ("127.0.0.1", (), ANONYMOUS),
    ],
)
def test_a_login_may_go_where_the_site_says_and_below_the_registry(
    trusted: SimpleNamespace,
    realm: str,
    sign_in: tuple[str, ...],
    login: Credentials,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _host, *more, **named: found("127.0.0.1", *more, **named)
    )
    service = f"{realm}:{trusted.port}"
    trusted.answers["HEAD", "/v2/p/app/manifests/1"] = asking(f"https://{service}/token")
    trusted.answers["GET", "/token"] = (200, {}, b'{"token": "t0ken"}')
    assert registry(trusted, login=login, sign_in=sign_in).digest() == DIGEST
    assert trusted.asked[1][2]["host"] == service
    assert trusted.asked[1][2].get("authorization") == (BASIC if login.given else None)


def asking(
    realm: str, *more: str
) -> Callable[..., tuple[int, dict[str, str] | list[tuple[str, ...]], bytes]]:
    """Answers with the digest to who has the token, else with these challenges."""

    def answer(
        headers: dict[str, str],
    ) -> tuple[int, dict[str, str] | list[tuple[str, ...]], bytes]:
        if headers.get("authorization") == "Bearer t0ken":
            return 200, {"Docker-Content-Digest": DIGEST}, b""
        challenges = [*more, f'Bearer realm="{realm}"']
        return 401, [("WWW-Authenticate", challenge) for challenge in challenges], b""

    return answer


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("other", ['Basic realm="x"', "Negotiate", 'Negotiate, Basic realm="a, b"'])
def test_of_several_challenges_the_one_that_we_know_counts(
    trusted: SimpleNamespace, other: str, order: int
) -> None:
    def answer(
        headers: dict[str, str],
    ) -> tuple[int, dict[str, str] | list[tuple[str, ...]], bytes]:
        if headers.get("authorization") == "Bearer t0ken":
            return 200, {"Docker-Content-Digest": DIGEST}, b""
        both = [other, f'Bearer realm="https://{trusted.name}/token"'][::order]
        return 401, [("WWW-Authenticate", challenge) for challenge in both], b""

    trusted.answers["HEAD", "/v2/p/app/manifests/1"] = answer
    trusted.answers["GET", "/token"] = (200, {}, b'{"access_token": "t0ken"}')
    assert registry(trusted).digest() == DIGEST
    assert trusted.asked[1][1] == "/token?scope=repository%3Ap%2Fapp%3Apull"


@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        ("Negotiate", "wants to know who asks by negotiate"),
        ('Digest realm="x", Negotiate', "wants to know who asks by digest, negotiate"),
        ('Basic realm="x"', "does not accept the user name and token"),
        ("", "does not accept the user name and token"),
    ],
)
def test_a_way_to_sign_in_that_nobody_knows_is_named(
    trusted: SimpleNamespace, challenge: str, said: str
) -> None:
    serve(trusted, 401, WWW_Authenticate=challenge)
    with pytest.raises(CesError, match=said):
        registry(trusted, login=LOGIN).digest()


@pytest.mark.parametrize(
    ("login", "said"),
    [(LOGIN, "this user may not read the image"), (ANONYMOUS, "not show this image to everybody")],
)
def test_a_refusal_after_a_good_token_is_no_wrong_password(
    trusted: SimpleNamespace, login: Credentials, said: str
) -> None:
    challenge = f'Bearer realm="https://{trusted.name}/token"'
    serve(trusted, 401, WWW_Authenticate=challenge)
    trusted.answers["GET", "/token"] = (200, {}, b'{"token": "t0ken"}')
    with pytest.raises(CesError, match=said):
        registry(trusted, login=login).digest()


@pytest.mark.parametrize(
    ("login", "said"),
    [(LOGIN, "this user may not read the image"), (ANONYMOUS, "not show this image to everybody")],
)
def test_an_image_that_may_not_be_read_is_told(
    trusted: SimpleNamespace, login: Credentials, said: str
) -> None:
    serve(trusted, 403)
    with pytest.raises(CesError, match=said):
        registry(trusted, login=login).digest()


def test_a_login_that_the_token_service_refuses_is_a_wrong_one(trusted: SimpleNamespace) -> None:
    serve(trusted, 401, WWW_Authenticate=f'Bearer realm="https://{trusted.name}/token"')
    trusted.answers["GET", "/token"] = (401, {}, b"")
    with pytest.raises(CesError, match="does not accept the user name and token"):
        registry(trusted, login=LOGIN).digest()


def test_a_token_service_that_is_not_there_is_no_missing_image(trusted: SimpleNamespace) -> None:
    trusted.answers["HEAD", "/v2/p/app/manifests/1"] = asking(f"https://{trusted.name}/nowhere")
    with pytest.raises(CesError, match="there is no token service at localhost") as caught:
        registry(trusted).digest()
    assert not isinstance(caught.value, NotFound)


def test_an_identity_token_is_exchanged_for_a_token(trusted: SimpleNamespace) -> None:
    trusted.answers["HEAD", "/v2/p/app/manifests/1"] = asking(f"https://{trusted.name}/token")
    trusted.answers["POST", "/token"] = (200, {}, b'{"access_token": "t0ken"}')
    login = Credentials("00000000-0000-0000-0000-000000000000", identity_token=REFRESH)
    assert registry(trusted, login=login).digest() == DIGEST
    (first, _path, headers), (_method, path, _headers), _third = trusted.asked
    assert (first, path, headers.get("authorization")) == ("HEAD", "/token", None)
    form = parse_qs(trusted.bodies[1].decode())
    assert form["refresh_token"] == [REFRESH]
    assert form["grant_type"] == ["refresh_token"]
    assert form["scope"] == ["repository:p/app:pull"]


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"token":' * 100_000,
        b'{"token": {"token": "x"}}',
        b'{"token": "a\\r\\nX-Header: b"}',
        b'{"token": "\\u20ac"}',
        b'{"token": ""}',
        b'{"token": "' + b"x" * 70_000 + b'"}',
        b'{"token": 5, "access_token": null}',
        b"null",
        b"1" * 5000,
    ],
)
def test_a_token_that_no_header_can_carry_is_an_error(
    trusted: SimpleNamespace, body: bytes
) -> None:
    trusted.answers["HEAD", "/v2/p/app/manifests/1"] = asking(f"https://{trusted.name}/token")
    trusted.answers["GET", "/token"] = (200, {}, body)
    with pytest.raises(CesError, match=r"gave no token|is no JSON object"):
        registry(trusted).digest()
