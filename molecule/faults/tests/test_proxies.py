# SPDX-License-Identifier: GPL-3.0-or-later
"""Which registries podman reaches by a proxy, and that ours is the same."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import SITE, User
from remote import Host

NAME = "registry.tre.test"
HERE = f"{NAME}:5000"
BY_PROXY, STRAIGHT = HERE, ""

FOR_A_NAME = {
    "": BY_PROXY,
    "*": STRAIGHT,
    NAME: STRAIGHT,
    NAME.upper(): STRAIGHT,
    f"{NAME}:5000": STRAIGHT,
    f"{NAME}:443": BY_PROXY,
    f" {NAME} ": STRAIGHT,
    f"other.test,{NAME}": STRAIGHT,
    f"other.test, {NAME},": STRAIGHT,
    f"other.test {NAME}": BY_PROXY,
    f"{NAME}.": BY_PROXY,
    f"https://{NAME}": BY_PROXY,
    f".{NAME}": BY_PROXY,
    f"*.{NAME}": BY_PROXY,
    f"*{NAME}": BY_PROXY,
    "tre.test": STRAIGHT,
    "TRE.Test": STRAIGHT,
    ".tre.test": STRAIGHT,
    "*.tre.test": STRAIGHT,
    "tre.test:5000": STRAIGHT,
    "tre.test:443": BY_PROXY,
    ".tre.test:5000": STRAIGHT,
    "test": STRAIGHT,
    ".": BY_PROXY,
    "re.test": BY_PROXY,
    "registry": BY_PROXY,
    "registry.*": BY_PROXY,
    "*,other.test": STRAIGHT,
    "**": BY_PROXY,
    # a name is not looked up
    "0.0.0.0/0": BY_PROXY,
}
"""By what ``no_proxy`` is: what podman did for the registry's name."""
FOR_AN_ADDRESS = {
    "": True,
    "{}": False,
    "{}:5000": False,
    "{}:443": True,
    "{}/32": False,
    "{}/8": False,
    "{}/33": True,
    "0.0.0.0/0": False,
    "10.": True,
    "10.*": True,
    "*": False,
    "::/0": True,
}
"""Likewise for its address: whether a proxy was asked."""


def answers(alice: User, cases: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    return [tuple(one) for one in alice.host.ask(alice.name, "ask_by_proxy", cases=cases)]


def case(host: str, **environ: str) -> dict[str, Any]:
    return {"host": host, "environ": {"https_proxy": "http://PROXY", **environ}}


def test_no_proxy_means_for_a_name_what_podman_takes_it_for(alice: User) -> None:
    found = answers(alice, [case(HERE, no_proxy=text) for text in FOR_A_NAME])
    theirs = dict(zip(FOR_A_NAME, (podman for podman, _ours in found)))
    assert theirs == FOR_A_NAME
    ours = dict(zip(FOR_A_NAME, (by_proxy for _podman, by_proxy in found)))
    assert ours == {text: podman != "" for text, podman in FOR_A_NAME.items()}


def test_no_proxy_means_for_an_address_what_podman_takes_it_for(
    alice: User, registry: Host
) -> None:
    address = registry.root("hostname -I").split()[0]
    entries = [text.format(address) for text in FOR_AN_ADDRESS]
    found = answers(alice, [case(f"{address}:5000", no_proxy=text) for text in entries])
    assert [podman == f"{address}:5000" for podman, _ours in found] == [*FOR_AN_ADDRESS.values()]
    assert [by_proxy for _podman, by_proxy in found] == [*FOR_AN_ADDRESS.values()]


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1"])
def test_no_proxy_is_asked_for_this_host(alice: User, host: str) -> None:
    assert answers(alice, [case(host)]) == [("", False)]


def test_of_several_variables_ours_takes_the_one_that_podman_takes(alice: User) -> None:
    environments = [
        {"HTTPS_PROXY": "http://PROXY", "https_proxy": "http://127.0.0.1:1"},
        {"HTTPS_PROXY": "http://PROXY", "https_proxy": "", "NO_PROXY": "", "no_proxy": NAME},
        {"https_proxy": "http://PROXY", "NO_PROXY": "other.test", "no_proxy": NAME},
        {"https_proxy": "http://PROXY", "NO_PROXY": NAME, "no_proxy": "other.test"},
        {"http_proxy": "http://PROXY", "ALL_PROXY": "http://PROXY", "all_proxy": "http://PROXY"},
        {"https_proxy": "PROXY"},
    ]
    found = answers(alice, [{"host": HERE, "environ": environ} for environ in environments])
    assert [podman for podman, _ours in found] == [HERE, "", HERE, "", "", HERE]
    assert [by_proxy for _podman, by_proxy in found] == [True, False, True, False, False, True]


@pytest.mark.parametrize(
    ("scheme", "begins"), [("https", "TLS"), ("socks5", "SOCKS"), ("socks5h", "SOCKS")]
)
def test_a_proxy_that_podman_knows_and_ours_does_not_is_told(
    alice: User, scheme: str, begins: str
) -> None:
    environ = {"https_proxy": f"{scheme}://PROXY"}
    assert answers(alice, [{"host": HERE, "environ": environ}]) == [(begins, True)]
    line = f"https_proxy={scheme}://u:s3cret@proxy.test:1080"
    for words in ("ces-pull podman", "ces-pull podman --dry-run", "ces-run podman --pull always"):
        done = alice.run(f"{line} {words} {alice.image}")
        assert done.rc == 125
        assert f"it is a proxy of {scheme}" in done.err
        assert "write http://USER:PASSWORD@HOST:PORT" in done.err and "no_proxy" in done.err.lower()
        assert "s3cret" not in done.err
    # what the message says to do cures it
    login = f"--username {SITE['testbed_registry_user']} --password-stdin"
    pull = f"{line} no_proxy={NAME} ces-pull podman {login} {alice.image}"
    alice.run(pull, stdin=SITE["testbed_registry_password"]).ok()
