# SPDX-License-Identifier: GPL-3.0-or-later
"""Registry credentials in files, as containers-auth.json(5) and Docker have them."""

from __future__ import annotations

import base64
import json
import os

from ..blocks import contextmanager
from ..dataclass import dataclass
from ..errors import CesError, Interrupted, NotFound
from ..runners.command import Command
from ..typed import Any, Iterator, Mapping
from ..values.image import ImageRef
from ..values.spec import Credentials
from .account import Account
from .files import explained, passing_file, read_json, regular
from .process import Process, Streams

PASSING = "auth"
"""The kind of the files that hold credentials while they are needed."""
_HELPER_TIME = 30.0
"""Seconds that a credential helper may take."""
_NO_LOGIN = "credentials not found"
"""What a credential helper says that has no login for a registry."""
_IDENTITY = "<token>"
"""The user that a credential helper names when its secret is an identity token."""


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
    with passing_file(account.runtime, PASSING, json.dumps({"auths": auths})) as path:
        yield path


def login_for(
    image: ImageRef, credentials: Credentials, account: Account, process: Process
) -> Credentials:
    """The login for an image's registry: the one given, else the one stored where engines look.

    :returns: anonymous if there is none; ``unused`` then says what is there and cannot be used.
    :raises CesError: the caller's auth file cannot be read, or its credential helper fails.
    """
    if credentials.given:
        return credentials
    if credentials.authfile is not None:
        return _Search(image, credentials.authfile, account, process).login()
    unused = ""
    for path in _default_files(account):
        try:
            login = _Search(image, path, account, process).login()
        except NotFound:
            continue
        if login.given:
            return login
        unused = unused or login.unused
    return Credentials(unused=unused)


def _default_files(account: Account) -> list[str]:
    """Where podman looks, in its order (containers-auth.json(5))."""
    named = account.environ.get("REGISTRY_AUTH_FILE")
    if named:
        return [named]
    docker = account.environ.get("DOCKER_CONFIG")
    if docker:
        return [f"{docker}/config.json"]
    config = account.environ.get("XDG_CONFIG_HOME") or f"{account.home}/.config"
    return [
        f"{account.runtime_base}/containers/auth.json",
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
            return self._helped(helper)
        old = os.path.basename(self.path) == _OLD
        key, entry = self._entry(raw if old else _table(raw, "auths"), old)
        login = self._stored(entry, key)
        store = raw.get("credsStore")
        if login.given or login.unused or not isinstance(store, str) or not store:
            return login
        return self._unused(f"the credsStore {store}, which podman does not use")

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
                    return self._unused(f"{name} without auth for {key}, which podman does not use")
            return Credentials()
        user, password = self._decoded(auth, key)
        if isinstance(identity, str) and identity:
            return Credentials(user, password, identity_token=identity)
        if not (user and password):
            return self._unused(f"a login for {key} that lacks the user or the password")
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

    def _helped(self, name: str) -> Credentials:
        """What the program says that the file names (docker-credential-helpers' protocol)."""
        registry, program = self.image.registry, f"docker-credential-{name}"
        tried = f"ask {program}, which {self.path} names, for the login to {registry}"
        if "/" in name or not self.account.has_program(program):
            raise CesError(
                tried,
                said="there is no such program on this host",
                hint="sign in with podman login, or give --username with --password-stdin",
            )
        streams = Streams(timeout=_HELPER_TIME, interruptible=True)
        finished = self.process.run(Command((program, "get"), stdin=registry), streams)
        if finished.stopped_by == "timeout":
            raise CesError(tried, said=f"it did not answer within {_HELPER_TIME:g} s")
        if finished.stopped_by:
            raise Interrupted(tried, finished.stopped_by)
        if not finished.ok and _NO_LOGIN in finished.stdout.lower():
            return self._unused(f"the credential helper {program}, which has no login for it")
        # what it says is not repeated: it may hold a secret
        try:
            answer = json.loads(finished.stdout if finished.ok else "{}")
            user, secret = answer["Username"], answer["Secret"]
        except (KeyError, TypeError, ValueError, RecursionError):
            user = secret = None
        if not isinstance(user, str) or not isinstance(secret, str):
            raise CesError(
                tried,
                said=f"it exited with {finished.rc} and gave no login",
                hint=f"try it: echo {registry} | {program} get",
            )
        if user == _IDENTITY:
            return Credentials(identity_token=secret)
        return Credentials(user, secret)

    def _unused(self, what: str) -> Credentials:
        said = f"it does not show this image to everybody, and {self.path} has {what}"
        return Credentials(unused=said)


def _table(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _host_of(key: str, old: bool) -> str:
    """The registry that a key of an auth file is for, where it is an address or a host."""
    bare = key.removeprefix("http://").removeprefix("https://")
    if old or bare != key:
        bare = bare.partition("/")[0]
    return "index.docker.io" if bare in ("docker.io", "registry-1.docker.io") else bare
