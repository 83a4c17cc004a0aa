# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry that is asked too often, is wrong, not trusted or not there: a real server answers."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest
from asked_registry import ANONYMOUS, DIGEST, LOGIN, registry, serve

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    NotFound,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system import https
from ansible_collections.tre.ces.plugins.module_utils.ces.system.registry import Registry
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import Credentials


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
