# SPDX-License-Identifier: GPL-3.0-or-later
"""Registry credentials in files, as containers-auth.json(5) and Docker have them."""

from __future__ import annotations

import base64
import json
import os

from ..blocks import contextmanager
from ..dataclass import dataclass
from ..errors import CesError, Interrupted, NotFound
from ..typed import Any, Iterator, Mapping, Sequence
from ..values.containers_conf import Setting, words_in
from ..values.image import ImageRef
from ..values.spec import Credentials
from .account import Account
from .containers_conf import registries_files, settings_of
from .credential_helper import login_by_helper
from .files import explained, passing_file, read_json, regular
from .process import Process

PASSING = "auth"
"""The kind of the files that hold credentials while they are needed."""
_FILES = "containers-auth.json"
"""Stands for auth files in the list of credential helpers in registries.conf."""
_HELPERS = "credential-helpers"


@contextmanager
def auth_file(
    credentials: Credentials, images: tuple[ImageRef, ...], account: Account
) -> Iterator[str | None]:
    """An auth file for the registries of these images, gone when the block ends.

    A login is written 0600 into the user's 0700 runtime directory, which is in memory;
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
    raw = f"{credentials.username}:{credentials.password}".encode("utf-8", "surrogateescape")
    entry = {"auth": base64.b64encode(raw).decode("ascii")}
    if credentials.identity_token:
        entry["identitytoken"] = credentials.identity_token
    auths = {image.registry: entry for image in images}
    with passing_file(account.make_runtime(), PASSING, json.dumps({"auths": auths})) as path:
        yield path


def login_for(
    image: ImageRef,
    credentials: Credentials,
    account: Account,
    process: Process,
    of_session: bool = True,
) -> Credentials:
    """The login for an image's registry: the one given, else the one stored where engines look.

    :param of_session: also where podman login writes it, which no other host sees.
    :returns: anonymous if there is none; ``unused`` then says what is there and cannot be used.
    :raises CesError: the caller's auth file cannot be read, or no place has a login and one fails.
    """
    if credentials.given:
        return credentials
    unused, failure = "", None
    for helper in _helpers(account):
        try:
            if helper.value == _FILES:
                login = _in_files(image, credentials.authfile, account, process, of_session)
            else:
                login = _of_helper(helper.value, helper.file, image, account, process)
        except Interrupted:
            raise
        except CesError as error:
            failure = failure or error
            continue
        if login.given:
            return login
        unused = unused or login.unused
    if failure is not None:
        raise failure
    return Credentials(unused=unused)


def _helpers(account: Account) -> Sequence[Setting]:
    """Where podman asks for a login, in its order (containers-registries.conf(5)).

    Auth files are one of the places, and the only one where nothing is set.
    """
    said = [one for one in settings_of(registries_files(account)) if one.key == _HELPERS]
    names = words_in(said[-1].value) if said else []
    return [Setting(said[-1].file, _HELPERS, name) for name in names] or [
        Setting("", _HELPERS, _FILES)
    ]


def _of_helper(
    name: str, file: str, image: ImageRef, account: Account, process: Process
) -> Credentials:
    login = login_by_helper(name, file, image.registry, account, process)
    what = f"the credential helper docker-credential-{name}, which has no login for it"
    return login or _unused(file, what)


def _unused(path: str, what: str) -> Credentials:
    return Credentials(unused=f"it does not show this image to everybody, and {path} has {what}")


def _in_files(
    image: ImageRef, chosen: str | None, account: Account, process: Process, of_session: bool
) -> Credentials:
    """What the auth files have.

    :param chosen: the caller's own file; None for those where podman looks.
    """
    if chosen is not None:
        return _Search(image, chosen, account, process).login()
    unused = ""
    for path in _default_files(account, of_session):
        try:
            login = _Search(image, path, account, process).login()
        except NotFound:
            continue
        if login.given:
            return login
        unused = unused or login.unused
    return Credentials(unused=unused)


def _default_files(account: Account, of_session: bool) -> list[str]:
    """Where podman looks, in its order (containers-auth.json(5))."""
    named = account.environ.get("REGISTRY_AUTH_FILE")
    if named:
        return [named]
    docker = account.environ.get("DOCKER_CONFIG")
    if docker:
        return [f"{docker}/config.json"]
    config = account.environ.get("XDG_CONFIG_HOME") or f"{account.home}/.config"
    return [
        *([f"{account.runtime_base}/containers/auth.json"] if of_session else []),
        f"{config}/containers/auth.json",
        f"{account.home}/.docker/config.json",
        f"{account.home}/{_OLD}",
    ]


_OLD = ".dockercfg"
"""Docker's file before 2015: the logins alone."""


@dataclass(frozen=True)
class _Search:
    """One image's login in one auth file, found as podman finds it."""

    image: ImageRef
    path: str
    account: Account
    process: Process

    def login(self) -> Credentials:
        raw = read_json(self.path, "the auth file")
        if not isinstance(raw, dict):
            return Credentials()
        helper = _table(raw, "credHelpers").get(self.image.registry)
        if isinstance(helper, str) and helper:
            return _of_helper(helper, self.path, self.image, self.account, self.process)
        old = os.path.basename(self.path) == _OLD
        key, entry = self._entry(raw if old else _table(raw, "auths"), old)
        login = self._stored(entry, key)
        store = raw.get("credsStore")
        if login.given or login.unused or not isinstance(store, str) or not store:
            return login
        return _unused(self.path, f"the credsStore {store}, which podman does not use")

    def _entry(self, auths: Mapping[str, Any], old: bool) -> tuple[str, Mapping[str, Any]]:
        """The entry that fits best, and its key: by the path, else by the host of an address."""
        parts = self.image.name.split("/")
        paths = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
        host = _host_of(self.image.registry, old)
        addresses = [key for key in auths if _host_of(key, old) == host]
        for key in [*(paths[-1:] if old else paths), *addresses]:
            if isinstance(auths.get(key), dict):
                return key, auths[key]
        return "", {}

    def _stored(self, entry: Mapping[str, Any], key: str) -> Credentials:
        auth, identity = entry.get("auth"), entry.get("identitytoken")
        if not isinstance(auth, str) or not auth:
            for name in ("registrytoken", "username", "identitytoken"):
                if entry.get(name):
                    said = f"{name} without auth for {key}, which podman does not use"
                    return _unused(self.path, said)
            return Credentials()
        user, password = self._decoded(auth, key)
        if isinstance(identity, str) and identity:
            return Credentials(user, password, identity_token=identity)
        if not (user and password):
            return _unused(self.path, f"a login for {key} that lacks the user or the password")
        return Credentials(user, password)

    def _decoded(self, text: str, key: str) -> tuple[str, str]:
        try:
            # line breaks in it do not count, as base64 was once written
            raw = base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
        except ValueError:
            raw = b""
        user, colon, password = raw.decode("utf-8", "surrogateescape").partition(":")
        if not colon:
            raise CesError(
                f"read the credentials for {key} in {self.path}",
                said="they are not base64 of user:password",
                hint="sign in again with podman login",
            )
        return user, password.strip("\0")


def _table(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _host_of(key: str, old: bool) -> str:
    """The registry that a key of an auth file is for, where it is an address or a host."""
    bare = key.removeprefix("http://").removeprefix("https://")
    if old or bare != key:
        bare = bare.partition("/")[0]
    return "index.docker.io" if bare in ("docker.io", "registry-1.docker.io") else bare
