# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a real HTTPS server on this machine that answers as a registry does."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    NotFound,
    NoVariant,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system import https
from ansible_collections.tre.ces.plugins.module_utils.ces.system.registry import Registry
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import Credentials

DIGEST = "sha256:" + "1" * 64
LOGIN = Credentials("ada", "p'a\"s $s`id`:\u20ac")
BASIC = "Basic " + base64.b64encode(f"{LOGIN.username}:{LOGIN.password}".encode()).decode()
ANONYMOUS = Credentials()
REFRESH = "refr&sh"
MANIFEST = {"layers": [{"size": 1000}, {"size": 234}]}


def registry(
    host: SimpleNamespace,
    reference: str = "p/app:1",
    login: Credentials = ANONYMOUS,
    environ: dict[str, str] | None = None,
    **more: Any,
) -> Registry:
    return Registry(ImageRef.parse(f"{host.name}/{reference}"), login, environ or {}, **more)


def serve(
    host: SimpleNamespace,
    status: int = 200,
    method: str = "HEAD",
    reference: str = "1",
    body: bytes = b"",
    **headers: str,
) -> None:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    host.answers[method, f"/v2/p/app/manifests/{reference}"] = (status, named, body)


# --- what is asked and answered ---


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


# --- too many questions ---


class Busy:
    """Says 429 some times, and then gives the digest."""

    def __init__(self, times: int, **headers: str) -> None:
        self.left, self.headers = times, {k.replace("_", "-"): v for k, v in headers.items()}

    def __call__(self, _headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self.left -= 1
        if self.left >= 0:
            return 429, self.headers, b""
        return 200, {"Docker-Content-Digest": DIGEST}, b""


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without waiting."""
    pauses = []
    monkeypatch.setattr(https.Https, "pause", lambda _self, seconds: pauses.append(seconds))
    return pauses


@pytest.mark.parametrize(
    ("busy", "waits"),
    [
        (Busy(2, Retry_After="7"), [7, 7]),
        (Busy(3), [2, 4, 8]),
        (Busy(1, Retry_After="soon"), [2]),
        (Busy(1, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), [0]),
    ],
)
def test_who_asks_too_often_waits_as_the_registry_says(
    trusted: SimpleNamespace, waited: list[float], busy: Busy, waits: list[int]
) -> None:
    trusted.answers["HEAD", "/v2/p/app/manifests/1"] = busy
    told: list[str] = []
    assert registry(trusted, tell=told.append).digest() == DIGEST
    assert waited == waits
    assert told[0] == f"{trusted.name} is asked too often: asking again in {waits[0]} s"


@pytest.mark.parametrize(("headers", "asked"), [({}, 6), ({"Retry_After": "21600"}, 1)])
def test_nobody_waits_for_ever(
    trusted: SimpleNamespace, waited: list[float], headers: dict[str, str], asked: int
) -> None:
    trusted.answers["HEAD", "/v2/p/app/manifests/1"] = Busy(100, **headers)
    with pytest.raises(CesError, match="too many requests"):
        registry(trusted).digest()
    assert len(trusted.asked) == asked


def test_all_questions_together_have_five_pauses(
    trusted: SimpleNamespace, waited: list[float]
) -> None:
    trusted.answers["HEAD", "/v2/p/app/manifests/1"] = Busy(3)
    trusted.answers["GET", "/v2/p/app/manifests/1"] = Busy(100)
    asked = registry(trusted)
    asked.digest()
    with pytest.raises(CesError, match="too many requests"):
        asked.compressed_size()
    assert waited == [2, 4, 8, 16, 32]


@pytest.mark.parametrize(
    ("status", "login", "said"),
    [
        (401, ANONYMOUS, "give a user name and token"),
        (401, LOGIN, "does not accept the user name and token"),
        (403, LOGIN, "may not read the image"),
        (429, ANONYMOUS, "too many requests"),
        (500, ANONYMOUS, "HTTP 500"),
        (302, ANONYMOUS, "HTTP 302"),
    ],
)
def test_a_refusal_says_what_to_do_and_shows_no_secret(
    trusted: SimpleNamespace, waited: list[float], status: int, login: Credentials, said: str
) -> None:
    serve(trusted, status)
    with pytest.raises(CesError) as caught:
        registry(trusted, login=login).digest()
    assert said in str(caught.value)
    assert f"{trusted.name}/p/app:1" in str(caught.value)
    assert LOGIN.password not in str(caught.value)


def test_a_missing_tag_is_not_found(trusted: SimpleNamespace) -> None:
    with pytest.raises(NotFound, match=r"could not find image .*/p/app:1: .*no such image or tag"):
        registry(trusted).digest()


# --- how large it is ---


def test_the_size_is_that_of_the_layers_for_this_processor(trusted: SimpleNamespace) -> None:
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
def test_an_index_in_an_index_and_an_entry_for_any_platform_are_looked_into(
    trusted: SimpleNamespace, platform: dict[str, str | None]
) -> None:
    for reference, digest in (("1", "sha256:inner"), ("sha256:inner", "sha256:image")):
        arm = {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "sparc"}}
        index = {"manifests": [arm, {"digest": digest, **platform}]}
        serve(trusted, method="GET", reference=reference, body=json.dumps(index).encode())
    serve(trusted, method="GET", reference="sha256:image", body=json.dumps(MANIFEST).encode())
    with pytest.raises(RefusedByPolicy, match="it is 1234 bytes"):
        registry(trusted).check_size(1000)


def test_an_index_that_never_ends_is_no_known_form(trusted: SimpleNamespace) -> None:
    index = {"manifests": [{"digest": "sha256:again"}]}
    for reference in ("1", "sha256:again"):
        serve(trusted, method="GET", reference=reference, body=json.dumps(index).encode())
    with pytest.raises(CesError, match="not of a known form"):
        registry(trusted).check_size(1000)


def test_an_image_for_other_processors_only_is_said_so(trusted: SimpleNamespace) -> None:
    serve(trusted, method="GET", body=b'{"manifests": []}')
    with pytest.raises(NotFound, match="no variant for linux/"):
        registry(trusted).compressed_size()


@pytest.mark.parametrize(("limit", "refused"), [(None, False), (1234, False), (1233, True)])
def test_an_image_above_a_sites_limit_is_refused(
    trusted: SimpleNamespace, limit: int | None, refused: bool
) -> None:
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
    b'{"layers": [{}]}',
    b'{"layers": [{"size": -1}]}',
    b'{"layers": [{"size": true}]}',
    b'{"layers": [{"size": "5"}]}',
    b'{"layers": [{"size": "big"}]}',
    b'{"layers": [{"size": %s}, {"size": %s}]}' % (b"9" * 4300, b"9" * 4300),
    b"\xff",
]


@pytest.mark.parametrize("body", NONSENSE)
def test_nonsense_is_an_error_and_no_traceback(trusted: SimpleNamespace, body: bytes) -> None:
    serve(trusted, method="GET", body=body)
    with pytest.raises(CesError, match="could not ask the registry"):
        registry(trusted).compressed_size()


@pytest.mark.parametrize("digest", ["", "x", "sha256:", "sha256:../../x", "md5:" + "0" * 32])
def test_a_digest_that_is_none_is_not_believed(trusted: SimpleNamespace, digest: str) -> None:
    serve(trusted, Docker_Content_Digest=digest)
    body = b"{}"
    serve(trusted, method="GET", body=body)
    assert registry(trusted).digest() == f"sha256:{hashlib.sha256(body).hexdigest()}"


def test_an_endless_answer_is_cut_off(
    trusted: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https, "ANSWER_MAX", 1000)
    serve(trusted, method="GET", body=b"x" * 1001)
    with pytest.raises(CesError, match="longer than"):
        registry(trusted).compressed_size()


# --- trust, and not being there ---


def test_a_certificate_that_nobody_vouches_for_is_refused(host: SimpleNamespace) -> None:
    serve(host, Docker_Content_Digest=DIGEST)
    with pytest.raises(CesError, match="its certificate is not trusted") as caught:
        registry(host, login=LOGIN).digest()
    assert "role podman" in str(caught.value)
    assert host.asked == []


def test_a_registry_that_is_down_is_said_so() -> None:
    down = Registry(ImageRef.parse("localhost:1/p/app:1"), ANONYMOUS, {})
    with pytest.raises(CesError, match=r"localhost:1 does not answer .*try again later"):
        down.digest()


def test_a_registry_whose_name_is_unknown_is_said_so() -> None:
    unknown = Registry(ImageRef.parse("registry.invalid/p/app:1"), ANONYMOUS, {})
    with pytest.raises(CesError, match=r"registry\.invalid does not answer"):
        unknown.digest()


# --- manifest and configuration ---

OCI = "application/vnd.oci.image"


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def keep(
    host: SimpleNamespace,
    raw: bytes | dict[str, Any],
    name: str | None = None,
    kind: str = "manifests",
    **headers: str,
) -> str:
    """Let the server have it by its digest, and by a name; answers the digest."""
    body = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    for reference in filter(None, (digest_of(body), name)):
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        host.answers["GET", f"/v2/p/app/{kind}/{reference}"] = (200, headers, body)
    return digest_of(body)


def manifest(config: str = DIGEST, **more: str) -> dict[str, Any]:
    named = {"digest": config, "mediaType": f"{OCI}.config.v1+json", "size": 2}
    return {"config": named, "layers": [{"size": 9, "mediaType": "a/tar"}], **more}


def test_an_image_is_described_by_one_question(trusted: SimpleNamespace) -> None:
    digest = keep(trusted, manifest(), "1", Content_Type=f"{OCI}.manifest.v1+json; charset=x")
    found = registry(trusted).described()
    assert (found.digest, found.form, found.size) == (digest, f"{OCI}.manifest.v1+json", 9)
    assert (found.config, found.indexes) == (DIGEST, 0)
    assert [method for method, _path, _headers in trusted.asked] == ["GET"]


@pytest.mark.parametrize("indexes", [1, 2, 4])
def test_an_image_in_indexes_is_described_by_its_own_manifest(
    trusted: SimpleNamespace, indexes: int
) -> None:
    inner = keep(trusted, manifest())
    for left in reversed(range(indexes)):
        entry = {"digest": inner, "platform": {}}
        inner = keep(trusted, {"manifests": [entry]}, "1" if left == 0 else None)
    found = registry(trusted).described()
    assert (found.digest, found.indexes, found.size) == (inner, indexes, 9)


def test_indexes_without_an_end_are_no_image(trusted: SimpleNamespace) -> None:
    inner = keep(trusted, manifest())
    for _index in range(5):
        inner = keep(trusted, {"manifests": [{"digest": inner}]}, "1")
    with pytest.raises(CesError, match="not of a known form"):
        registry(trusted).described()


def test_an_image_without_a_variant_for_this_machine_is_told_apart(
    trusted: SimpleNamespace,
) -> None:
    keep(trusted, {"manifests": [{"digest": DIGEST, "platform": {"os": "plan9"}}]}, "1")
    with pytest.raises(NoVariant, match="it has no variant for linux/"):
        registry(trusted).described()


@pytest.mark.parametrize(
    "raw", [{}, {"layers": []}, {"config": [], "layers": []}, {"manifests": 5}, {"manifests": [5]}]
)
def test_what_is_no_manifest_is_told(trusted: SimpleNamespace, raw: dict[str, Any]) -> None:
    keep(trusted, raw, "1")
    with pytest.raises(CesError, match="not of a known form"):
        registry(trusted).described()


def test_a_manifest_that_is_not_what_was_asked_for_is_refused(trusted: SimpleNamespace) -> None:
    trusted.answers["GET", f"/v2/p/app/manifests/{DIGEST}"] = (200, {}, b"{}")
    with pytest.raises(CesError, match=f"what it sends is not {DIGEST}"):
        registry(trusted, f"p/app@{DIGEST}").described()
    keep(trusted, {"manifests": [{"digest": DIGEST}]}, "1")
    with pytest.raises(CesError, match=f"what it sends is not {DIGEST}"):
        registry(trusted).compressed_size()


def test_a_configuration_is_a_blob(trusted: SimpleNamespace) -> None:
    digest = keep(trusted, b"{}", kind="blobs")
    assert registry(trusted).blob(digest) == b"{}"


def test_a_blob_is_verified_and_may_be_at_another_place(trusted: SimpleNamespace) -> None:
    digest = digest_of(b"{}")
    place = f"/v2/p/app/blobs/{digest}"
    trusted.answers["GET", place] = (307, {"Location": "/elsewhere"}, b"")
    trusted.answers["GET", "/elsewhere"] = (200, {}, b"{}")
    assert registry(trusted, login=LOGIN).blob(digest) == b"{}"
    trusted.answers["GET", "/elsewhere"] = (200, {}, b"{ }")
    with pytest.raises(CesError, match="what it sends is not"):
        registry(trusted).blob(digest)


@pytest.mark.parametrize("digest", ["", "sha256:1", "../../token", "md5:" + "1" * 32])
def test_what_is_no_digest_is_not_asked_for(trusted: SimpleNamespace, digest: str) -> None:
    with pytest.raises(CesError, match="which is no digest"):
        registry(trusted).blob(digest)
    assert trusted.asked == []


def test_a_blob_is_asked_for_with_the_token(trusted: SimpleNamespace) -> None:
    digest = digest_of(b"{}")

    def answer(headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if headers.get("authorization") == "Bearer t0ken":
            return 200, {}, b"{}"
        challenge = f'Bearer realm="https://{trusted.name}/token"'
        return 401, {"WWW-Authenticate": challenge}, b""

    trusted.answers["GET", f"/v2/p/app/blobs/{digest}"] = answer
    trusted.answers["GET", "/token"] = (200, {}, b'{"token": "t0ken"}')
    asked = registry(trusted)
    assert asked.blob(digest) == asked.blob(digest) == b"{}"
    assert [path.partition("?")[0] for _method, path, _headers in trusted.asked].count(
        "/token"
    ) == 1
