# SPDX-License-Identifier: GPL-3.0-or-later
"""Registry credentials in files, as containers-auth.json(5) has them."""

from __future__ import annotations

import base64
import json
import os

from ..blocks import contextmanager
from ..errors import CesError, NotFound
from ..typed import Iterator
from ..values.image import ImageRef
from ..values.spec import Credentials
from .account import Account
from .files import explained, passing_file, read_json, regular

Login = tuple[str, str]
PASSING = "auth"
"""The kind of the files that hold credentials while they are needed."""


@contextmanager
def auth_file(
    credentials: Credentials, images: tuple[ImageRef, ...], account: Account
) -> Iterator[str | None]:
    """An auth file for the registries of these images, gone when the block ends.

    A user and password are written 0600 into the user's 0700 runtime directory, which is in memory;
    an auth file that the caller has is used as it is; without either there is none.
    """
    if credentials.authfile is not None:
        path = credentials.authfile
        with explained(f"read the auth file {path}"), open(path, "rb", opener=regular):
            pass
        yield os.path.abspath(path)
        return
    if not credentials.given:
        yield None
        return
    secret = base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode(
        "ascii"
    )
    auths = {image.registry: {"auth": secret} for image in images}
    with passing_file(account.runtime, PASSING, json.dumps({"auths": auths})) as path:
        yield path


def login_for(image: ImageRef, credentials: Credentials, account: Account) -> Login | None:
    """User and password for an image's registry: those given, else those stored where engines look.

    :raises CesError: the caller's auth file cannot be read, or names a credential helper.
    """
    if credentials.given:
        return credentials.username, credentials.password
    if credentials.authfile is not None:
        return _login_in(credentials.authfile, image)
    for path in _default_files(account):
        try:
            login = _login_in(path, image)
        except NotFound:
            continue
        if login is not None:
            return login
    return None


def _default_files(account: Account) -> list[str]:
    """Where podman looks, in its order (containers-auth.json(5))."""
    named = account.environ.get("REGISTRY_AUTH_FILE")
    if named:
        return [named]
    config = account.environ.get("XDG_CONFIG_HOME") or f"{account.home}/.config"
    return [
        f"{account.runtime_base}/containers/auth.json",
        f"{config}/containers/auth.json",
        f"{account.home}/.docker/config.json",
    ]


def _login_in(path: str, image: ImageRef) -> Login | None:
    raw = read_json(path, "the auth file")
    auths = raw.get("auths") if isinstance(raw, dict) else None
    if not isinstance(auths, dict):
        return None
    for key in _keys(image):
        entry = auths.get(key)
        if isinstance(entry, dict) and isinstance(entry.get("auth"), str) and entry["auth"]:
            return _decoded(entry["auth"], path, key)
    return None


def _keys(image: ImageRef) -> list[str]:
    """The names an image's credentials may be stored under, the most specific first."""
    parts = image.name.split("/")
    keys = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    if image.registry == "docker.io":
        keys.append("https://index.docker.io/v1/")
    return keys


def _decoded(text: str, path: str, key: str) -> Login:
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        user, colon, password = "", "", ""
    if not colon:
        raise CesError(
            f"read the credentials for {key} in {path}", said="they are not base64 of user:password"
        )
    return user, password.rstrip("\0")
