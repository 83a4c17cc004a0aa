# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a registry over HTTPS (https://github.com/opencontainers/distribution-spec)."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
from urllib.parse import quote, urlencode, urlsplit

from ..dataclass import dataclass
from ..errors import CesError, NotFound, RefusedByPolicy
from ..typed import Any, Mapping
from ..values.image import ImageRef, is_digest
from .authfile import Login
from .certificates import certificates_of

TIMEOUT = 30.0
"""Seconds that a registry may take for one answer."""

_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ANSWER_MAX = 4 * 1024 * 1024
"""Bytes of a manifest; the specification asks registries to take at least this much."""
_PLATFORM = ("os", "architecture")
_INDEXES_MAX = 4
_CHALLENGE = r'([a-zA-Z_]+)="([^"]*)"'
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x"}


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Registry:
    """One registry as one user sees it.

    :param login: user and password, or None for anonymous.
    """

    def __init__(self, image: ImageRef, login: Login | None, environ: Mapping[str, str]) -> None:
        self._image, self._login, self._environ = image, login, environ
        self._host = "registry-1.docker.io" if image.registry == "docker.io" else image.registry
        self._authorization = _basic(login) if login else None

    def digest(self) -> str:
        """The digest of the image's manifest (or index), by one HEAD request.

        :raises NotFound: there is no such image or tag.
        :raises CesError: the registry does not answer, refuses, or answers nonsense.
        """
        answer = self._manifest("HEAD", self._image.reference)
        digest = answer.headers.get("docker-content-digest", "")
        if not is_digest(digest):  # a few registries send it with the body alone
            # costs 3 ms
            import hashlib

            body = self._manifest("GET", self._image.reference).body
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        return digest

    def compressed_size(self) -> int:
        """Bytes that a pull on this machine transfers: the sum of the layers' sizes."""
        try:
            manifest = self._json(self._manifest("GET", self._image.reference))
            for _index in range(_INDEXES_MAX):  # an index may be in an index
                if "manifests" not in manifest:
                    break
                manifest = self._json(self._manifest("GET", self._fitting(manifest)))
            return sum(int(layer["size"]) for layer in manifest["layers"])
        except (AttributeError, KeyError, TypeError, ValueError):
            raise self._error("its manifest is not of a known form") from None

    def _fitting(self, index: dict[str, Any]) -> str:
        """The digest of an index's manifest for this machine; engines also take one for any."""
        wanted = _ARCHITECTURES.get(os.uname().machine, os.uname().machine)
        platforms = [entry.get("platform") or {} for entry in index["manifests"]]
        for fits in ({"os": "linux", "architecture": wanted}, {}):
            for entry, platform in zip(index["manifests"], platforms):
                if {key: platform[key] for key in _PLATFORM if key in platform} == fits:
                    return str(entry["digest"])
        raise NotFound(
            f"use image {self._image}",
            said=f"it has no variant for linux/{wanted}",
            hint=f"ask its maker for one, or use a tag that has one for linux/{wanted}",
        )

    def check_size(self, limit: int | None) -> None:
        """Refuse an image above a site's limit, before anything is transferred."""
        if limit is None:
            return
        size = self.compressed_size()
        if size > limit:
            raise RefusedByPolicy(
                f"pull {self._image}",
                said=f"it is {size} bytes; this site allows {limit}",
                hint="use a smaller image",
            )

    def _manifest(self, method: str, reference: str) -> _Answer:
        path = f"/v2/{self._image.path}/manifests/{reference}"
        answer = self._ask(self._host, method, path, self._authorization)
        if answer.status == 401 and self._sign_in(answer.headers.get("www-authenticate", "")):
            answer = self._ask(self._host, method, path, self._authorization)
        self._check(answer)
        return answer

    def _sign_in(self, challenge: str) -> bool:
        """Get what the registry asks for; False when there is nothing new to offer."""
        scheme, _space, rest = challenge.partition(" ")
        parameters = {key.lower(): value for key, value in re.findall(_CHALLENGE, rest)}
        realm = urlsplit(parameters.get("realm", ""))
        if scheme.lower() != "bearer" or realm.scheme != "https" or not realm.netloc:
            return False
        query = {key: parameters[key] for key in ("service", "scope") if key in parameters}
        asked = "&".join(filter(None, (realm.query, urlencode(query, quote_via=quote))))
        path = f"{realm.path or '/'}?{asked}"
        answer = self._ask(realm.netloc, "GET", path, _basic(self._login) if self._login else None)
        self._check(answer)
        answered = self._json(answer)
        token = answered.get("token") or answered.get("access_token")
        if not isinstance(token, str):
            raise self._error("it gave no token")
        self._authorization = f"Bearer {token}"
        return True

    def _ask(self, host: str, method: str, path: str, authorization: str | None) -> _Answer:
        headers = {"Accept": ", ".join(_MANIFESTS), "User-Agent": "tre.ces"}
        if authorization is not None:
            headers["Authorization"] = authorization
        connection = _connection(host, self._environ)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            body = response.read(_ANSWER_MAX + 1)
            if len(body) > _ANSWER_MAX:
                raise self._error("its answer is longer than 4 MiB")
            return _Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, body)
        except ssl.SSLCertVerificationError as error:
            raise self._error(
                f"its certificate is not trusted ({error.verify_message})",
                "the administrator gives the registry's ca to the role podman",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._error(
                f"{host} does not answer ({error or type(error).__name__})",
                "try again later; if it lasts, tell the administrator",
            ) from None
        finally:
            connection.close()

    def _check(self, answer: _Answer) -> None:
        if answer.status == 200:
            return
        if answer.status == 404:
            raise NotFound(
                f"find image {self._image}",
                said="the registry has no such image or tag",
                hint="check the image's name and tag",
            )
        said, hint = _REFUSALS.get(
            answer.status, (f"it answered HTTP {answer.status}", "try again later")
        )
        if answer.status in (401, 403) and self._login is None:
            said = "it does not show this image to everybody"
            hint = "the image may be private: give a user name and token (ces-pull --username)"
        raise self._error(said, hint)

    def _json(self, answer: _Answer) -> dict[str, Any]:
        try:
            parsed = json.loads(answer.body)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise self._error("its answer is no JSON object")
        return parsed

    def _error(self, said: str, hint: str = "") -> CesError:
        return CesError(
            f"ask the registry {self._image.registry} for {self._image}", said=said, hint=hint
        )


_REFUSALS = {
    401: (
        "it does not accept the user name and token",
        "check both, and that the token has not expired",
    ),
    403: ("this user may not read the image", "ask the image's owner for read access"),
    429: ("it has had too many requests from here", "wait, or sign in with a user name and token"),
}


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(":".join(login).encode()).decode("ascii")


def _connection(host: str, environ: Mapping[str, str]) -> http.client.HTTPSConnection:
    context = _tls(host)
    proxy = _proxy(host, environ)
    if proxy is None:
        return http.client.HTTPSConnection(host, timeout=TIMEOUT, context=context)
    connection = http.client.HTTPSConnection(proxy, timeout=TIMEOUT, context=context)
    connection.set_tunnel(host)
    return connection


def _tls(host: str) -> ssl.SSLContext:
    """The system's trust, and the registry's own as engines have it (containers-certs.d(5))."""
    context = ssl.create_default_context(capath=_hashed_trust())
    for path in certificates_of(host):
        context.load_verify_locations(cafile=path)
    return context


def _hashed_trust() -> str | None:
    """The system's directory of certificates by hash, or None where there is none.

    OpenSSL reads the one it needs there; the same certificates in one file take 6 ms to load.
    """
    paths = ssl.get_default_verify_paths()
    if paths.openssl_cafile_env in os.environ or paths.openssl_capath_env in os.environ:
        return None
    try:
        names = os.listdir(paths.openssl_capath)
    except OSError:
        return None
    return paths.openssl_capath if any(name.endswith(".0") for name in names) else None


def _proxy(host: str, environ: Mapping[str, str]) -> str | None:
    named = environ.get("https_proxy") or environ.get("HTTPS_PROXY")
    if not named:
        return None
    # costs 10 ms, and only sites with a proxy need it
    from urllib.request import proxy_bypass

    excluded = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if proxy_bypass(host, {"no": excluded}):
        return None
    return urlsplit(named if "//" in named else f"//{named}").netloc
