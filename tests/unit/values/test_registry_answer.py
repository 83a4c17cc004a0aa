# SPDX-License-Identifier: GPL-3.0-or-later
"""What registries answer: challenges, token services, tokens, when to come back."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.values.registry_answer import (
    challenges_in,
    is_visible,
    seconds_to_wait,
    token_in,
    token_service,
)


def found(*headers: str) -> list[tuple[str, dict[str, str]]]:
    return [(one.scheme, dict(one.parameters)) for one in challenges_in(headers)]


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", []),
        ("Negotiate", [("negotiate", {})]),
        ("Negotiate YII+abc/d==", None),
        (
            'Bearer realm="https://a/t",service="s"',
            [("bearer", {"realm": "https://a/t", "service": "s"})],
        ),
        (
            "BEARER Realm = https://a/t , Service=s",
            [("bearer", {"realm": "https://a/t", "service": "s"})],
        ),
        (
            'Basic realm="a, Bearer realm=b", Bearer realm="c"',
            [("basic", {"realm": "a, Bearer realm=b"}), ("bearer", {"realm": "c"})],
        ),
        (r'Basic realm="say \"x\""', [("basic", {"realm": 'say "x"'})]),
        ('Bearer realm="a",realm="b"', [("bearer", {"realm": "a"})]),
        ('Bearer realm="not closed', [("bearer", {"realm": ""}), ("not", {}), ("closed", {})]),
        ('realm="of nothing"', []),
    ],
)
def test_challenges_are_read(
    header: str, challenges: list[tuple[str, dict[str, str]]] | None
) -> None:
    if challenges is None:
        assert found(header)[0][0] == "negotiate"
    else:
        assert found(header) == challenges


def test_challenges_of_several_headers_are_read_in_order() -> None:
    assert [scheme for scheme, _parameters in found("Negotiate", 'Basic realm="x"', "Bearer")] == [
        "negotiate",
        "basic",
        "bearer",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 500_000,
        "a=" * 200_000,
        'a="' * 100_000,
        'a="\\' * 100_000,
        "a " * 200_000,
        "= " * 200_000,
        f"a{' ' * 500_000}",
        'a="' + "\\x" * 200_000,
        "a b=," + ",".join(f"a{number}=" for number in range(50_000)),
    ],
    ids=lambda text: text[:6],
)
def test_no_header_takes_long(text: str) -> None:
    begin = time.process_time()
    challenges_in([text])
    assert time.process_time() - begin < 5


@given(st.lists(st.text(alphabet=st.characters(max_codepoint=255)), max_size=3))
def test_any_headers_have_an_answer(headers: list[str]) -> None:
    for challenge in challenges_in(headers):
        assert challenge.scheme == challenge.scheme.lower()
        assert all(isinstance(value, str) for value in challenge.parameters.values())


@given(
    st.lists(
        st.sampled_from(["Bearer", "Basic", "realm", "=", '"', ",", " ", "\\", "https://a", "x"])
    ).map("".join)
)
def test_any_mixture_of_the_grammars_words_has_an_answer(header: str) -> None:
    for challenge in challenges_in([header]):
        token_service(challenge.parameters.get("realm", ""))


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\')),
    )
)
def test_what_a_registry_means_is_what_is_read(parameters: dict[str, str]) -> None:
    header = "Bearer " + ",".join(f'{key}="{value}"' for key, value in parameters.items())
    assert found(header) == [("bearer", parameters)]


@pytest.mark.parametrize(
    ("realm", "host", "path"),
    [
        ("https://a.example.org/token", "a.example.org", "/token"),
        ("https://a.example.org:444/token?x=y", "a.example.org:444", "/token"),
        ("https://A.example.org", "A.example.org", "/"),
        ("https://[::1]:5001/token", "[::1]:5001", "/token"),
    ],
)
def test_an_address_of_https_is_a_token_service(realm: str, host: str, path: str) -> None:
    service = there(token_service(realm))
    assert (service.host, service.path) == (host, path)
    assert service.name == service.name.lower()


@given(st.one_of(st.text(), st.text().map(lambda text: f"https://{text}")))
def test_any_realm_is_a_service_that_can_be_asked_or_none(realm: str) -> None:
    service = token_service(realm)
    if service is not None:
        assert is_visible(service.host) and is_visible(service.path)
        assert "@" not in service.host and service.name


@given(
    st.dictionaries(
        st.sampled_from(["token", "access_token", "x"]),
        st.recursive(st.none() | st.integers() | st.text(), st.lists),
    )
)
def test_a_token_can_stand_in_a_header_or_is_none(answer: dict[str, Any]) -> None:
    token = token_in(answer)
    assert token is None or (token in answer.values() and is_visible(token))


@pytest.mark.parametrize(
    ("header", "tries", "seconds"),
    [
        (None, 1, 2),
        (None, 3, 8),
        (None, 20, 60),
        ("0", 1, 0),
        (" 30 ", 1, 30),
        ("60", 1, 60),
        ("61", 1, None),
        ("9" * 5000, 1, None),
        ("-1", 1, 2),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 1, 30),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 1, 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 1, None),
        ("Wed, 99 Oct 2015 99:99:99 GMT", 2, 4),
    ],
)
def test_when_to_come_back(header: str | None, tries: int, seconds: int | None) -> None:
    assert seconds_to_wait(header, tries, now=1445412480.0) == seconds


@given(st.text(), st.integers(min_value=1, max_value=6))
def test_any_header_gives_a_bounded_wait(header: str, tries: int) -> None:
    seconds = seconds_to_wait(header, tries, time.time())
    assert seconds is None or 0 <= seconds <= 60
