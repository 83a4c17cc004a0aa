# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a registry (https://github.com/opencontainers/distribution-spec)."""

from __future__ import annotations

import json
import os
import time
from urllib.parse import quote, urlencode, urlsplit

from ..errors import CesError, Denied, NotFound, NoVariant, RefusedByPolicy
from ..shown import shown
from ..typed import Any, Callable, Mapping, Sequence
from ..values.image import ImageRef, is_digest
from ..values.manifest import DOCKER, INDEXES, OCI, Manifest, layer_size
from ..values.platform import architecture_of
from ..values.policy import AllowedRegistry
from ..values.registry_answer import (
    Challenge,
    TokenService,
    challenges_in,
    place_elsewhere,
    seconds_to_wait,
    token_in,
    token_service,
)
from ..values.spec import Credentials
from .https import Answer, Https, basic
from .signals import StopSignals
from .system import System

_MANIFESTS = (INDEXES[0], OCI, INDEXES[1], DOCKER)
_PLATFORM = ("os", "architecture")
_INDEXES_MAX = 4
_PAUSES_MAX = 5
"""How often we wait in all for a registry that is asked too often."""
_ELSEWHERE = (301, 302, 303, 307, 308)
"""Statuses of an answer that is at another place."""
_PLACES_MAX = 10
"""Places that podman follows."""
_NO_HEAD = (405, 501)
"""Statuses by which a registry says that it answers no such question."""
_UNKNOWN_FORM = "its manifest is not of a known form"


def _silent(_message: str) -> None:
    """Nobody is listening."""


def host_of(registry: str) -> str:
    """The host that answers for a registry, as images' names have it."""
    return "registry-1.docker.io" if registry == "docker.io" else registry


class Registry:
    """One image's registry as one user sees it.

    :param login: what this user has for it.
    :param sign_in: hosts that may have the login, too, beside the registry's own and those below.
    :param signals: a noted stop signal ends a question.
    :param tell: hears what takes long.
    :param patience: seconds for all answers together, where those of pulls are not meant.
    """

    def __init__(
        self,
        image: ImageRef,
        login: Credentials,
        environ: Mapping[str, str],
        sign_in: Sequence[str] = (),
        signals: StopSignals | None = None,
        tell: Callable[[str], None] = _silent,
        patience: float | None = None,
    ) -> None:
        self._image, self._login, self._sign_in_hosts, self._tell = image, login, sign_in, tell
        self._host = host_of(image.registry)
        self._tried = f"ask the registry {image.registry} for {image}"
        self._https = Https(self._tried, environ, (self._host,), signals, patience)
        self._authorization = self._basic()
        self._pauses = 0
        self._size: int | None = None

    def digest(self) -> str:
        """The digest of the image's manifest (or index), by one HEAD request.

        :raises NotFound: there is no such image or tag.
        :raises CesError: the registry does not answer, refuses, or answers nonsense.
        """
        answer = self._manifest("HEAD", self._image.reference)
        digest = answer.headers.get("docker-content-digest", "")
        if not is_digest(digest):  # a few registries send it with the body alone
            digest = _sha256(self._manifest("GET", self._image.reference).body)
        return digest

    def compressed_size(self) -> int:
        """Bytes that a pull on this machine transfers: the sum of the layers' sizes.

        The registry is asked once.
        """
        if self._size is None:
            try:
                manifest, _answers = self._for_this_machine()
                self._size = sum(map(layer_size, manifest["layers"]))
            except (AttributeError, KeyError, TypeError, ValueError):
                raise self._error(_UNKNOWN_FORM) from None
        return self._size

    def described(self) -> Manifest:
        """The image's manifest for this machine; its layers stay where they are.

        :raises NoVariant: there is none for this machine.
        :raises NotFound: there is no such image or tag.
        :raises CesError: the registry does not answer, refuses, or answers nonsense.
        """
        try:
            raw, answers = self._for_this_machine()
            form = answers[-1].headers.get("content-type", "").partition(";")[0].strip()
            digest = answers[0].headers.get("docker-content-digest", "")
            if self._image.digest or not is_digest(digest):
                digest = self._image.digest or _sha256(answers[0].body)
            return Manifest.from_dict(raw, digest, form, indexes=len(answers) - 1)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise self._error(_UNKNOWN_FORM) from None

    def blob(self, digest: str) -> bytes:
        """A part of the image that is small, its configuration.

        :raises CesError: the registry does not answer, refuses, or answers something else.
        """
        if not is_digest(digest):
            raise self._error(f"it names {shown(digest)[:80]!r} as a part, which is no digest")
        answer = self._signed_in("GET", f"/v2/{self._image.path}/blobs/{digest}")
        self._check(answer)
        return self._verified(answer, digest).body

    def _for_this_machine(self) -> tuple[dict[str, Any], list[Answer]]:
        """The manifest, and the answers that led to it: those of indexes first."""
        reference, answers = self._image.reference, []
        for _index in range(_INDEXES_MAX + 1):  # an index may be in an index
            answer = self._manifest("GET", reference)
            answers.append(self._verified(answer, reference) if is_digest(reference) else answer)
            manifest = self._json(answer)
            if "manifests" not in manifest:
                return manifest, answers
            reference = self._fitting(manifest)
        raise ValueError("there are too many indexes")

    def _verified(self, answer: Answer, digest: str) -> Answer:
        """The answer, if it is the content of that digest."""
        # costs 3 ms
        import hashlib

        algorithm, _colon, value = digest.partition(":")
        if hashlib.new(algorithm, answer.body).hexdigest() != value:
            raise self._error(
                f"what it sends is not {digest}", "tell the administrator of the registry"
            )
        return answer

    def _fitting(self, index: dict[str, Any]) -> str:
        """The digest of an index's manifest for this machine; engines also take one for any."""
        wanted = architecture_of(os.uname().machine)
        platforms = [entry.get("platform") or {} for entry in index["manifests"]]
        for fits in ({"os": "linux", "architecture": wanted}, {}):
            for entry, platform in zip(index["manifests"], platforms):
                if {key: platform[key] for key in _PLATFORM if key in platform} == fits:
                    return str(entry["digest"])
        raise NoVariant(
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

    def _manifest(self, method: str, reference: str) -> Answer:
        answer = self._signed_in(method, f"/v2/{self._image.path}/manifests/{reference}")
        if answer.status in _NO_HEAD and method == "HEAD":
            return self._manifest("GET", reference)
        if answer.status == 404:
            raise NotFound(
                f"find image {self._image}",
                said="the registry has no such image or tag",
                hint="check the image's name and tag",
            )
        self._check(answer)
        return answer

    def _signed_in(self, method: str, path: str) -> Answer:
        """The registry's answer, after signing in where it asks for that."""
        answer = self._ask(self._host, method, path, self._authorization)
        if answer.status == 401:
            self._sign_in(challenges_in(answer.challenges))
            answer = self._ask(self._host, method, path, self._authorization)
        return answer

    def _ask(
        self,
        host: str,
        method: str,
        path: str,
        authorization: str | None,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """An answer, from where the registry says that it is; another host gets no secret."""
        for _place in range(_PLACES_MAX):
            answer = self._ask_there(host, method, path, authorization, form)
            location = answer.headers.get("location")
            if answer.status not in _ELSEWHERE or location is None or form is not None:
                return answer
            place = place_elsewhere(host, path, location)
            if place is None:
                raise self._error(f"it leads to {shown(location)!r}, which is no address of https")
            authorization = authorization if place.host == host else None
            host, path = place.host, f"{place.path}?{place.query}".rstrip("?")
        raise self._error(f"it leads from place to place, more than {_PLACES_MAX} times")

    def _ask_there(
        self,
        host: str,
        method: str,
        path: str,
        authorization: str | None,
        form: Mapping[str, str] | None,
    ) -> Answer:
        """An answer, after waiting where the registry asks for that."""
        headers = {"Accept": ", ".join(_MANIFESTS), "User-Agent": "tre.ces"}
        if authorization is not None:
            headers["Authorization"] = authorization
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form).encode("ascii")
        while True:
            answer = self._https.ask(host, method, path, headers, body)
            if answer.status != 429 or self._pauses == _PAUSES_MAX:
                return answer
            self._pauses += 1
            seconds = seconds_to_wait(answer.headers.get("retry-after"), self._pauses, time.time())
            if seconds is None:
                return answer
            self._tell(f"{host} is asked too often: asking again in {seconds:.0f} s")
            self._https.pause(seconds)

    # --- signing in ---

    def _sign_in(self, challenges: Sequence[Challenge]) -> None:
        """Get what the registry asks for.

        :raises CesError: there is nothing to offer, or it must not be sent where it is asked for.
        """
        bearer = next((one for one in challenges if one.scheme == "bearer"), None)
        if bearer is None:
            raise self._no_way(challenges)
        realm = bearer.parameters.get("realm", "")
        service = token_service(realm)
        if service is None:
            raise self._error(
                f"it sends those who sign in to {shown(realm)!r}, which is no address of https",
                "nothing was sent there: tell the administrator of the registry",
            )
        self._check_host(service)
        self._authorization = f"Bearer {self._token(service, bearer.parameters)}"

    def _no_way(self, challenges: Sequence[Challenge]) -> CesError:
        schemes = {challenge.scheme for challenge in challenges}
        if "basic" in schemes or not schemes:
            return self._refused(401)
        listed = ", ".join(sorted(shown(scheme) for scheme in schemes))
        return self._error(
            f"it wants to know who asks by {listed}, and neither we nor engines can do that",
            "ask the administrator of the registry for tokens",
        )

    def _check_host(self, service: TokenService) -> None:
        """A login goes to the registry's own host, to hosts below it, and where the site allows."""
        own = urlsplit(f"//{self._image.registry}").hostname or ""
        allowed = service.name == own or service.name.endswith(f".{own}")
        if self._login.given and not allowed and service.name not in self._sign_in_hosts:
            raise self._error(
                f"it sends those who sign in to {service.host}, which is not its own host",
                "nothing was sent there; if that is right, the administrator adds the host to"
                " sign_in of this registry in the policy",
            )

    def _token(self, service: TokenService, parameters: Mapping[str, str]) -> str:
        asked = {
            **({"service": parameters["service"]} if "service" in parameters else {}),
            "scope": parameters.get("scope") or f"repository:{self._image.path}:pull",
        }
        if self._login.identity_token:
            refresh = {"grant_type": "refresh_token", "client_id": "tre.ces"}
            refresh["refresh_token"] = self._login.identity_token
            path = f"{service.path}?{service.query}".rstrip("?")
            answer = self._ask(service.host, "POST", path, None, {**asked, **refresh})
        else:
            query = "&".join(filter(None, (service.query, urlencode(asked, quote_via=quote))))
            answer = self._ask(service.host, "GET", f"{service.path}?{query}", self._basic())
        if answer.status == 404:
            raise self._error(f"there is no token service at {service.host}{shown(service.path)}")
        self._check(answer)
        token = token_in(self._json(answer))
        if token is None:
            raise self._error(f"{service.host} gave no token")
        return token

    def _basic(self) -> str | None:
        login = self._login
        return basic(login.username, login.password) if login.password else None

    # --- refusals ---

    def _check(self, answer: Answer) -> None:
        if answer.status != 200:
            raise self._refused(answer.status)

    def _refused(self, status: int) -> CesError:
        if status in (401, 403) and not self._login.given:
            return Denied(
                self._tried,
                said=self._login.unused or "it does not show this image to everybody",
                hint="the image may be private: give a user name and token (ces-pull --username)",
            )
        signed_in = (self._authorization or "").startswith("Bearer ")
        said, hint = _REFUSALS.get(
            403 if status == 401 and signed_in else status,
            (f"it answered HTTP {status}", "try again later"),
        )
        kind = Denied if status in (401, 403) else CesError
        return kind(self._tried, said=said, hint=hint)

    def _json(self, answer: Answer) -> dict[str, Any]:
        try:
            parsed = json.loads(answer.body)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict):
            raise self._error("its answer is no JSON object")
        return parsed

    def _error(self, said: str, hint: str = "") -> CesError:
        return CesError(self._tried, said=said, hint=hint)


_REFUSALS = {
    401: (
        "it does not accept the user name and token",
        "check both, and that the token has not expired",
    ),
    403: (
        "this user may not read the image",
        "ask the image's owner for read access to its project, and check the name",
    ),
    429: ("it has had too many requests from here", "wait, or sign in with a user name and token"),
}


def _sha256(body: bytes) -> str:
    # costs 3 ms
    import hashlib

    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def registry_here(
    source: ImageRef,
    login: Credentials,
    allowed: AllowedRegistry,
    system: System,
    patience: float | None = None,
) -> Registry:
    """A registry as services ask it: by the policy's entry, the user's proxies and signals."""
    return Registry(
        source,
        login,
        system.account.environ,
        sign_in=allowed.sign_in,
        signals=system.process.signals,
        tell=system.tell,
        patience=patience,
    )
