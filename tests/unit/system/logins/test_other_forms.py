# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins in other forms: Docker's, clouds' and credential helpers'."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_logins import IMAGE, LOGIN, NONE, encoded, entries, found

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system import credential_helper
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.authfile import (
    auth_file,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import Credentials

REGISTRY = "registry.example.org:5000"


@pytest.fixture
def auth(tmp_path: Path) -> Callable[..., Any]:
    """Write the auth file that podman looks at first."""
    path = tmp_path / "run/containers/auth.json"
    return lambda content: path.write_text(json.dumps(content))


@pytest.fixture
def helper(tmp_path: Path) -> Callable[..., None]:
    """Make a credential helper: a shell script that is told the registry."""

    def make(script: str, name: str = "store") -> None:
        path = tmp_path / "bin" / f"docker-credential-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\nread registry\n{script}\n")
        path.chmod(0o755)

    return make


@pytest.mark.parametrize(
    "key",
    [
        f"https://{REGISTRY}",
        f"https://{REGISTRY}/v1/",
        f"http://{REGISTRY}/v2/",
        f"https://{REGISTRY}/project",
    ],
)
def test_an_address_is_a_key_as_docker_wrote_it(
    ada: Account, auth: Callable[..., Any], key: str
) -> None:
    auth(entries(**{key: encoded()}))
    assert found(ada) == LOGIN


def test_a_host_as_it_is_comes_before_an_address(ada: Account, auth: Callable[..., Any]) -> None:
    auth(entries(**{f"https://{REGISTRY}/v1/": encoded("old"), REGISTRY: encoded("new")}))
    assert found(ada).username == "new"


@pytest.mark.parametrize("key", ["docker.io", "index.docker.io", "https://registry-1.docker.io"])
def test_dockers_hub_has_several_names(ada: Account, auth: Callable[..., Any], key: str) -> None:
    auth(entries(**{key: encoded()}))
    assert found(ada, ImageRef.parse("docker.io/debian")) == LOGIN


def test_dockers_first_file_is_read_after_all_others(
    ada: Account, tmp_path: Path, auth: Callable[..., Any]
) -> None:
    old = tmp_path / "home/.dockercfg"
    old.write_text(json.dumps({f"https://{REGISTRY}/v1/": {"auth": encoded("old")}}))
    assert found(ada).username == "old"
    auth(entries(**{REGISTRY: encoded("new")}))
    assert found(ada).username == "new"


def test_dockers_own_directory_is_the_only_one_where_the_environment_names_it(
    ada: Account, environ: dict[str, str], tmp_path: Path, auth: Callable[..., Any]
) -> None:
    auth(entries(**{REGISTRY: encoded("other")}))
    (tmp_path / "config.json").write_text(json.dumps(entries(**{REGISTRY: encoded()})))
    environ["DOCKER_CONFIG"] = str(tmp_path)
    assert found(ada) == LOGIN


def test_a_password_need_not_be_text_and_base64_may_have_line_breaks(
    ada: Account, auth: Callable[..., Any]
) -> None:
    lines = base64.encodebytes(b"ada:" + b"\xff" * 80).decode()
    assert "\n" in lines.strip()
    auth(entries(**{REGISTRY: lines}))
    assert found(ada).password.encode("utf-8", "surrogateescape") == b"\xff" * 80


AZURE = {"auth": encoded("00000000-0000", ""), "identitytoken": "refresh"}


def test_an_identity_token_stands_for_the_password(ada: Account, auth: Callable[..., Any]) -> None:
    auth({"auths": {REGISTRY: AZURE}})
    login = found(ada)
    assert (login.given, login.identity_token, login.password) == (True, "refresh", "")
    with auth_file(login, (IMAGE,), ada) as path:
        assert json.loads(Path(str(path)).read_text()) == {"auths": {REGISTRY: AZURE}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"credsStore": "desktop"}, "the credsStore desktop, which podman does not use"),
        ({"auths": {REGISTRY: {}}, "credsStore": "pass"}, "the credsStore pass"),
        ({"auths": {REGISTRY: {"registrytoken": "s3cret"}}}, "registrytoken without auth"),
        ({"auths": {REGISTRY: {"identitytoken": "s3cret"}}}, "identitytoken without auth"),
        ({"auths": {REGISTRY: {"username": "a", "password": "s3cret"}}}, "username without auth"),
        ({"auths": {REGISTRY: {"auth": encoded("ada", "")}}}, "lacks the user or the password"),
    ],
)
def test_what_nobody_can_use_is_named_and_not_shown(
    ada: Account, tmp_path: Path, auth: Callable[..., Any], content: dict[str, Any], said: str
) -> None:
    auth(content)
    login = found(ada)
    assert not login.given
    assert said in login.unused and "s3cret" not in login.unused
    assert f"{tmp_path}/run/containers/auth.json" in login.unused


def test_what_cannot_be_used_hides_no_login_of_a_later_file(
    ada: Account, tmp_path: Path, auth: Callable[..., Any]
) -> None:
    auth({"credsStore": "desktop"})
    (tmp_path / "home/.docker/config.json").write_text(json.dumps(entries(**{REGISTRY: encoded()})))
    assert found(ada) == LOGIN


def test_a_credential_helper_is_asked_for_the_registry(
    ada: Account, auth: Callable[..., Any], helper: Callable[..., None]
) -> None:
    helper('test "$1" = get; printf \'{"ServerURL":"%s","Username":"ada","Secret":"s"}\' $registry')
    auth({"credHelpers": {REGISTRY: "store"}, "auths": {REGISTRY: {"auth": encoded("other")}}})
    assert found(ada) == Credentials("ada", "s")
    assert found(ada, ImageRef.parse("registry.example.org/p/app:1")) == NONE


def test_a_credential_helper_may_have_an_identity_token(
    ada: Account, auth: Callable[..., Any], helper: Callable[..., None]
) -> None:
    helper('echo \'{"Username": "<token>", "Secret": "refresh"}\'')
    auth({"credHelpers": {REGISTRY: "store"}})
    assert found(ada) == Credentials("", "", None, "refresh")


def test_a_credential_helper_without_a_login_leaves_it_to_the_registry(
    ada: Account, auth: Callable[..., Any], helper: Callable[..., None]
) -> None:
    helper("echo credentials not found in native keychain; exit 1")
    auth({"credHelpers": {REGISTRY: "store"}})
    assert "docker-credential-store, which has no login for it" in found(ada).unused


@pytest.mark.parametrize("name", ["missing", "../bin/store", "/bin/sh"])
def test_a_credential_helper_that_is_not_there_is_named(
    ada: Account, auth: Callable[..., Any], helper: Callable[..., None], name: str
) -> None:
    helper("exit 1")
    auth({"credHelpers": {REGISTRY: name}})
    with pytest.raises(CesError, match=f"docker-credential-{name}.*no such program"):
        found(ada)


@pytest.mark.parametrize(
    "script",
    ["echo s3cret; exit 1", "echo s3cret", "echo '[]'", "echo '{\"Username\": 5}'", "kill $$"],
)
def test_a_credential_helper_that_fails_is_named_and_what_it_says_is_not(
    ada: Account, auth: Callable[..., Any], helper: Callable[..., None], script: str
) -> None:
    helper(script)
    auth({"credHelpers": {REGISTRY: "store"}})
    with pytest.raises(CesError, match="could not ask docker-credential-store") as caught:
        found(ada)
    assert "s3cret" not in str(caught.value.as_result())


def test_a_credential_helper_has_a_limited_time(
    ada: Account,
    auth: Callable[..., Any],
    helper: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    helper("exec sleep 60")
    auth({"credHelpers": {REGISTRY: "store"}})
    monkeypatch.setattr(credential_helper, "_TIME", 0.2)
    with pytest.raises(CesError, match=r"did not answer within 0\.2 s"):
        found(ada)


@pytest.fixture
def registries(tmp_path: Path) -> Callable[..., None]:
    """Write the user's registries.conf, or a file beside it."""
    place = tmp_path / "home/.config/containers"
    (place / "registries.conf.d").mkdir()

    def write(text: str, name: str = "registries.conf") -> None:
        (place / name).write_text(text)

    write("")  # in place of this machine's
    return write


def answering(user: str) -> str:
    return f'echo \'{{"Username": "{user}", "Secret": "s"}}\''


def test_a_credential_helper_for_all_registries_is_asked_in_its_place(
    ada: Account,
    auth: Callable[..., Any],
    helper: Callable[..., None],
    registries: Callable[..., None],
) -> None:
    helper(answering("ada"))
    helper("echo credentials not found in native keychain; exit 1", "empty")
    auth(entries(**{REGISTRY: encoded("filed")}))
    filed = Credentials("filed", LOGIN.password)
    for listed, login in (
        ('["store"]', Credentials("ada", "s")),
        ('["store", "containers-auth.json"]', Credentials("ada", "s")),
        ('[\n  "containers-auth.json", # first\n  "store",\n]', filed),
        ('["empty", "containers-auth.json"]', filed),
        ("[]", filed),
    ):
        registries(f"credential-helpers = {listed}\n[[registry]]\nlocation = 'r.io'\n")
        assert found(ada) == login


def test_where_credential_helpers_are_listed_the_last_list_counts(
    ada: Account,
    auth: Callable[..., Any],
    helper: Callable[..., None],
    registries: Callable[..., None],
) -> None:
    helper(answering("main"), "main")
    helper(answering("beside"), "beside")
    registries('credential-helpers = ["main"]')
    assert found(ada).username == "main"
    registries('credential-helpers = ["beside"]', "registries.conf.d/50-helpers.conf")
    assert found(ada).username == "beside"
    registries('[[registry]]\ncredential-helpers = ["main"]', "registries.conf.d/60.conf")
    assert found(ada).username == "beside"


def test_the_environment_may_name_another_registries_conf(
    ada: Account,
    environ: dict[str, str],
    tmp_path: Path,
    helper: Callable[..., None],
    registries: Callable[..., None],
) -> None:
    helper(answering("ada"))
    (tmp_path / "other.conf").write_text('credential-helpers = ["store"]')
    assert found(ada) == NONE
    environ["CONTAINERS_REGISTRIES_CONF"] = f"{tmp_path}/other.conf"
    assert found(ada).username == "ada"


def test_a_list_of_credential_helpers_without_auth_files_hides_them(
    ada: Account,
    auth: Callable[..., Any],
    helper: Callable[..., None],
    registries: Callable[..., None],
) -> None:
    helper("echo credentials not found in native keychain; exit 1")
    auth(entries(**{REGISTRY: encoded()}))
    registries('credential-helpers = ["store"]')
    login = found(ada)
    assert not login.given
    said = "registries.conf has the credential helper docker-credential-store, which has no login"
    assert said in login.unused


def test_a_credential_helper_that_fails_counts_only_where_no_other_place_has_a_login(
    ada: Account,
    auth: Callable[..., Any],
    helper: Callable[..., None],
    registries: Callable[..., None],
) -> None:
    helper("exit 1")
    registries('credential-helpers = ["store", "containers-auth.json"]')
    with pytest.raises(CesError, match=r"docker-credential-store, which .*registries.conf names"):
        found(ada)
    auth(entries(**{REGISTRY: encoded()}))
    assert found(ada) == LOGIN


ADDRESSES = [REGISTRY, f"https://{REGISTRY}/v1/"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(encoded()),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "auths",
                "auth",
                "credsStore",
                "identitytoken",
                "username",
                "registrytoken",
                *ADDRESSES,
            ]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_JSON | st.fixed_dictionaries({"auths": st.fixed_dictionaries({REGISTRY: _JSON})}))
def test_any_auth_file_gives_a_login_or_an_error_of_ours(
    ada: Account, auth: Callable[..., Any], content: object
) -> None:
    auth(content)
    try:
        login = found(ada)
    except CesError as error:
        assert str(error).isprintable()
    else:
        assert not login.given or login.password or login.identity_token


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.sampled_from([b"[" * 100_000, b'{"auths":' * 50_000]))
def test_any_bytes_as_an_auth_file_are_an_error_of_ours(
    ada: Account, tmp_path: Path, raw: bytes
) -> None:
    (tmp_path / "run/containers/auth.json").write_bytes(raw)
    try:
        found(ada)
    except CesError as error:
        assert str(error).isprintable()
