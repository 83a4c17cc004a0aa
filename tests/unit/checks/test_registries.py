# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of registries; and how they are asked."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from telling import POLICY, only, told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.registries import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host import registries
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.registries import (
    Greeting,
    greetings_of,
    hosts_of,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.https import Answer
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import AllowedRegistry

HOST = "r.example.org"
SITE = replace(POLICY, registries=(AllowedRegistry(HOST),))
GOOD = Greeting(HOST, 401, ahead=1.5)
UNTRUSTED = "its certificate is not trusted (r.example.org: {})"


def test_a_registry_that_answers_is_well() -> None:
    assert told(LOOKS, (GOOD,), SITE) == []


@pytest.mark.parametrize(
    ("one", "check", "level", "part"),
    [
        (Greeting(HOST, said="no route", cure="x"), "registries_answering", "fault", "no route"),
        (
            Greeting(HOST, said="no route", cure="x", proxy="p:3128"),
            "registries_answering",
            "fault",
            "by the proxy p:3128",
        ),
        (Greeting(HOST, 404), "registries_answering", "fault", "HTTP 404"),
        (
            Greeting(HOST, said=UNTRUSTED.format("self-signed"), cure="x"),
            "registries_trusted",
            "fault",
            "self-signed",
        ),
        (
            Greeting(HOST, said=UNTRUSTED.format("certificate is not yet valid"), cure="x"),
            "registries_trusted",
            "fault",
            "timedatectl",
        ),
        (
            Greeting(HOST, said=UNTRUSTED.format("IP address mismatch"), cure="x"),
            "registries_trusted",
            "fault",
            "registry_host_names",
        ),
        (Greeting(HOST, 200, ahead=7200.0), "clock", "warning", "7200 s behind that of"),
        (Greeting(HOST, 200, ahead=-400.0), "clock", "warning", "400 s ahead of"),
    ],
)
def test_what_is_wrong_is_told(one: Greeting, check: str, level: str, part: str) -> None:
    only(LOOKS, (one,), check, level, part, SITE)


def test_a_site_without_registries() -> None:
    only(LOOKS, (), "registries_allowed", "warning", "no registry")


def test_the_place_that_is_really_asked_counts() -> None:
    entries = [
        AllowedRegistry("docker.io/library"),
        AllowedRegistry("r.example.org/a", rewrite="mirror.example.org:5000/a"),
        AllowedRegistry("r.example.org/b", rewrite="mirror.example.org:5000/b"),
    ]
    site = replace(POLICY, registries=tuple(entries))
    assert hosts_of(site) == ("registry-1.docker.io", "mirror.example.org:5000")


class Conversation:
    """Stands where a registry is asked."""

    def __init__(self, _tried: str, _environ: object, hosts: tuple[str], patience: float) -> None:
        self._patience = patience

    def ask(self, host: str, _method: str, path: str, _headers: object) -> Answer:
        assert path == "/v2/"
        if host == "down":
            raise CesError("ask", said="down does not answer", hint="try again later")
        if host == "slow":
            time.sleep(3)
        return Answer(401, {"date": "Mon, 01 Jan 2035 00:00:00 GMT"}, (), b"")


@pytest.fixture(autouse=True)
def _conversations(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registries, "Https", Conversation)
    yield


def test_all_are_asked_at_once() -> None:
    begin = time.monotonic()
    good, down, slow = greetings_of(("good", "down", "slow"), {}, 0.2)
    assert time.monotonic() - begin < 2
    assert good.greets
    assert (good.ahead or 0) > 86400
    assert (down.said, down.cure) == ("down does not answer", "try again later")
    assert slow.said == "it does not answer within 0.2 s"


def test_a_proxy_of_a_refused_form_is_told() -> None:
    (found,) = greetings_of(("good",), {"HTTPS_PROXY": "socks5://p:1080"}, 0.2)
    assert "proxy of socks5" in found.said
    (found,) = greetings_of(("good",), {"HTTPS_PROXY": "http://u:secret@p:3128"}, 0.2)
    assert found.proxy == "p:3128"
    assert "secret" not in repr(found)
