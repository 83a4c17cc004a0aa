# SPDX-License-Identifier: GPL-3.0-or-later
"""Registry credentials: written for an engine and gone again, or found where engines look."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from stored_logins import IMAGE, LOGIN, NONE, encoded, entries, found

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, NotFound
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.authfile import (
    auth_file,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import Credentials


def test_a_password_is_written_for_each_registry_private_and_gone_afterwards(
    ada: Account, tmp_path: Path
) -> None:
    mirror = ImageRef.parse("mirror.internal/p/app:1")
    with auth_file(LOGIN, (IMAGE, mirror), ada) as path:
        assert path is not None
        assert os.path.dirname(path) == f"{tmp_path}/run/ces"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
        assert json.loads(Path(path).read_text()) == {
            "auths": {
                "registry.example.org:5000": {"auth": encoded()},
                "mirror.internal": {"auth": encoded()},
            }
        }
    assert os.listdir(f"{tmp_path}/run/ces") == []


def test_it_is_gone_also_when_the_pull_fails(ada: Account, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), auth_file(LOGIN, (IMAGE,), ada):
        raise ZeroDivisionError
    assert os.listdir(f"{tmp_path}/run/ces") == []


def test_two_at_once_have_two_files(ada: Account) -> None:
    with auth_file(LOGIN, (IMAGE,), ada) as one, auth_file(LOGIN, (IMAGE,), ada) as two:
        assert one != two


def test_without_credentials_there_is_no_file(ada: Account, tmp_path: Path) -> None:
    with auth_file(Credentials(), (IMAGE,), ada) as path:
        assert path is None
    assert not (tmp_path / "run/ces").exists()


def test_the_callers_own_file_is_used_and_kept(
    ada: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with auth_file(Credentials(authfile="mine.json"), (IMAGE,), ada) as path:
        assert path == f"{tmp_path}/mine.json"
    assert (tmp_path / "mine.json").exists()


def test_a_file_that_is_not_there_is_said_before_the_engine_fails(ada: Account) -> None:
    credentials = Credentials(authfile="/nonexistent.json")
    said = r"could not read the auth file /nonexistent\.json"
    with pytest.raises(NotFound, match=said), auth_file(credentials, (IMAGE,), ada):
        pass
    with pytest.raises(NotFound):
        found(ada, credentials=credentials)


def test_a_password_that_was_given_comes_first(ada: Account) -> None:
    assert found(ada, credentials=LOGIN) == LOGIN


@pytest.mark.parametrize(
    "key",
    [
        "registry.example.org:5000",
        "registry.example.org:5000/project",
        "registry.example.org:5000/project/app",
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "run/containers/auth.json",
        "home/.config/containers/auth.json",
        "home/.docker/config.json",
    ],
)
def test_a_stored_login_is_found_where_podman_looks(
    ada: Account, tmp_path: Path, place: str, key: str
) -> None:
    (tmp_path / place).write_text(json.dumps(entries(**{key: encoded()})))
    assert found(ada) == LOGIN


def test_the_most_specific_entry_and_the_first_file_win(ada: Account, tmp_path: Path) -> None:
    registry = "registry.example.org:5000"
    auths = {registry: encoded("wide"), f"{registry}/project": encoded("narrow")}
    (tmp_path / "home/.config/containers/auth.json").write_text(json.dumps(entries(**auths)))
    (tmp_path / "home/.docker/config.json").write_text(
        json.dumps(entries(**{f"{registry}/project/app": encoded("docker")}))
    )
    assert found(ada) == Credentials("narrow", LOGIN.password)


def test_a_file_that_the_environment_names_is_the_only_one(
    ada: Account, environ: dict[str, str], tmp_path: Path
) -> None:
    key = "registry.example.org:5000"
    (tmp_path / "run/containers/auth.json").write_text(json.dumps(entries(**{key: encoded()})))
    (tmp_path / "named.json").write_text(json.dumps(entries()))
    environ["REGISTRY_AUTH_FILE"] = f"{tmp_path}/named.json"
    assert found(ada) == NONE


@pytest.mark.parametrize(
    "key",
    [
        "registry.example.org",
        "registry.example.org:5000/proj",
        "registry.example.org:5000/project/app/x",
        "example.org:5000",
        "",
    ],
)
def test_a_login_for_another_place_is_not_used(ada: Account, tmp_path: Path, key: str) -> None:
    (tmp_path / "run/containers/auth.json").write_text(json.dumps(entries(**{key: encoded()})))
    assert found(ada) == NONE


def test_dockers_old_key_is_known(ada: Account, tmp_path: Path) -> None:
    text = json.dumps(entries(**{"https://index.docker.io/v1/": encoded()}))
    (tmp_path / "home/.docker/config.json").write_text(text)
    assert found(ada, ImageRef.parse("docker.io/debian")) == LOGIN


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"auths": []}', '{"auths": {"registry.example.org:5000": {}}}']
)
def test_a_file_without_a_login_is_no_error(ada: Account, tmp_path: Path, text: str) -> None:
    (tmp_path / "run/containers/auth.json").write_text(text)
    assert found(ada) == NONE


@pytest.mark.parametrize("secret", ["!!", "c2VjcmV0", "c2Vj c2V"])
def test_what_is_no_login_is_an_error_that_names_the_file_and_not_the_secret(
    ada: Account, tmp_path: Path, secret: str
) -> None:
    path = tmp_path / "run/containers/auth.json"
    path.write_text(json.dumps(entries(**{"registry.example.org:5000": secret})))
    with pytest.raises(CesError, match="not base64 of user:password") as caught:
        found(ada)
    assert str(path) in str(caught.value)
    assert secret not in str(caught.value)
