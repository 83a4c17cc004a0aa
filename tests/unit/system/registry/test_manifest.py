# SPDX-License-Identifier: GPL-3.0-or-later
"""How large an image is, its manifest and its configuration: a real HTTPS server answers."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace
from typing import Any

import pytest
from asked_registry import DIGEST, LOGIN, OCI, manifest, registry, serve

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    NotFound,
    NoVariant,
    RefusedByPolicy,
)

MANIFEST = {"layers": [{"size": 1000}, {"size": 234}]}


def test_the_size_is_that_of_the_layers_for_this_processor(trusted: SimpleNamespace) -> None:
    index = {
        "manifests": [
            {"digest": "sha256:other", "platform": {"os": "linux", "architecture": "sparc"}},
            {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "arm64"}},
            {"digest": "sha256:amd", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:attestation"},
        ]
    }
    serve(trusted, method="GET", body=json.dumps(index).encode())
    for reference in ("sha256:amd", "sha256:arm"):
        serve(trusted, method="GET", reference=reference, body=json.dumps(MANIFEST).encode())
    assert registry(trusted).compressed_size() == 1234


@pytest.mark.parametrize("platform", [{}, {"platform": None}])
def test_an_index_in_an_index_and_an_entry_for_any_platform_are_looked_into(
    trusted: SimpleNamespace, platform: dict[str, str | None]
) -> None:
    for reference, digest in (("1", "sha256:inner"), ("sha256:inner", "sha256:image")):
        arm = {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "sparc"}}
        index = {"manifests": [arm, {"digest": digest, **platform}]}
        serve(trusted, method="GET", reference=reference, body=json.dumps(index).encode())
    serve(trusted, method="GET", reference="sha256:image", body=json.dumps(MANIFEST).encode())
    with pytest.raises(RefusedByPolicy, match="it is 1234 bytes"):
        registry(trusted).check_size(1000)


def test_an_index_that_never_ends_is_no_known_form(trusted: SimpleNamespace) -> None:
    index = {"manifests": [{"digest": "sha256:again"}]}
    for reference in ("1", "sha256:again"):
        serve(trusted, method="GET", reference=reference, body=json.dumps(index).encode())
    with pytest.raises(CesError, match="not of a known form"):
        registry(trusted).check_size(1000)


def test_an_image_for_other_processors_only_is_said_so(trusted: SimpleNamespace) -> None:
    serve(trusted, method="GET", body=b'{"manifests": []}')
    with pytest.raises(NotFound, match="no variant for linux/"):
        registry(trusted).compressed_size()


@pytest.mark.parametrize(("limit", "refused"), [(None, False), (1234, False), (1233, True)])
def test_an_image_above_a_sites_limit_is_refused(
    trusted: SimpleNamespace, limit: int | None, refused: bool
) -> None:
    serve(trusted, method="GET", body=json.dumps(MANIFEST).encode())
    if refused:
        with pytest.raises(RefusedByPolicy, match="this site allows"):
            registry(trusted).check_size(limit)
    else:
        registry(trusted).check_size(limit)
    assert bool(trusted.asked) == (limit is not None)


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def keep(
    host: SimpleNamespace,
    raw: bytes | dict[str, Any],
    name: str | None = None,
    kind: str = "manifests",
    **headers: str,
) -> str:
    """Let the server have it by its digest, and by a name; answers the digest."""
    body = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    for reference in filter(None, (digest_of(body), name)):
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        host.answers["GET", f"/v2/p/app/{kind}/{reference}"] = (200, headers, body)
    return digest_of(body)


def test_an_image_is_described_by_one_question(trusted: SimpleNamespace) -> None:
    digest = keep(trusted, manifest(), "1", Content_Type=f"{OCI}.manifest.v1+json; charset=x")
    found = registry(trusted).described()
    assert (found.digest, found.form, found.size) == (digest, f"{OCI}.manifest.v1+json", 9)
    assert (found.config, found.indexes) == (DIGEST, 0)
    assert [method for method, _path, _headers in trusted.asked] == ["GET"]


@pytest.mark.parametrize("indexes", [1, 2, 4])
def test_an_image_in_indexes_is_described_by_its_own_manifest(
    trusted: SimpleNamespace, indexes: int
) -> None:
    inner = keep(trusted, manifest())
    for left in reversed(range(indexes)):
        entry = {"digest": inner, "platform": {}}
        inner = keep(trusted, {"manifests": [entry]}, "1" if left == 0 else None)
    found = registry(trusted).described()
    assert (found.digest, found.indexes, found.size) == (inner, indexes, 9)


def test_indexes_without_an_end_are_no_image(trusted: SimpleNamespace) -> None:
    inner = keep(trusted, manifest())
    for _index in range(5):
        inner = keep(trusted, {"manifests": [{"digest": inner}]}, "1")
    with pytest.raises(CesError, match="not of a known form"):
        registry(trusted).described()


def test_an_image_without_a_variant_for_this_machine_is_told_apart(
    trusted: SimpleNamespace,
) -> None:
    keep(trusted, {"manifests": [{"digest": DIGEST, "platform": {"os": "plan9"}}]}, "1")
    with pytest.raises(NoVariant, match="it has no variant for linux/"):
        registry(trusted).described()


@pytest.mark.parametrize(
    "raw", [{}, {"layers": []}, {"config": [], "layers": []}, {"manifests": 5}, {"manifests": [5]}]
)
def test_what_is_no_manifest_is_told(trusted: SimpleNamespace, raw: dict[str, Any]) -> None:
    keep(trusted, raw, "1")
    with pytest.raises(CesError, match="not of a known form"):
        registry(trusted).described()


def test_a_manifest_that_is_not_what_was_asked_for_is_refused(trusted: SimpleNamespace) -> None:
    trusted.answers["GET", f"/v2/p/app/manifests/{DIGEST}"] = (200, {}, b"{}")
    with pytest.raises(CesError, match=f"what it sends is not {DIGEST}"):
        registry(trusted, f"p/app@{DIGEST}").described()
    keep(trusted, {"manifests": [{"digest": DIGEST}]}, "1")
    with pytest.raises(CesError, match=f"what it sends is not {DIGEST}"):
        registry(trusted).compressed_size()


def test_a_configuration_is_a_blob(trusted: SimpleNamespace) -> None:
    digest = keep(trusted, b"{}", kind="blobs")
    assert registry(trusted).blob(digest) == b"{}"


def test_a_blob_is_verified_and_may_be_at_another_place(trusted: SimpleNamespace) -> None:
    digest = digest_of(b"{}")
    place = f"/v2/p/app/blobs/{digest}"
    trusted.answers["GET", place] = (307, {"Location": "/elsewhere"}, b"")
    trusted.answers["GET", "/elsewhere"] = (200, {}, b"{}")
    assert registry(trusted, login=LOGIN).blob(digest) == b"{}"
    trusted.answers["GET", "/elsewhere"] = (200, {}, b"{ }")
    with pytest.raises(CesError, match="what it sends is not"):
        registry(trusted).blob(digest)


@pytest.mark.parametrize("digest", ["", "sha256:1", "../../token", "md5:" + "1" * 32])
def test_what_is_no_digest_is_not_asked_for(trusted: SimpleNamespace, digest: str) -> None:
    with pytest.raises(CesError, match="which is no digest"):
        registry(trusted).blob(digest)
    assert trusted.asked == []


def test_a_blob_is_asked_for_with_the_token(trusted: SimpleNamespace) -> None:
    digest = digest_of(b"{}")

    def answer(headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if headers.get("authorization") == "Bearer t0ken":
            return 200, {}, b"{}"
        challenge = f'Bearer realm="https://{trusted.name}/token"'
        return 401, {"WWW-Authenticate": challenge}, b""

    trusted.answers["GET", f"/v2/p/app/blobs/{digest}"] = answer
    trusted.answers["GET", "/token"] = (200, {}, b'{"token": "t0ken"}')
    asked = registry(trusted)
    assert asked.blob(digest) == asked.blob(digest) == b"{}"
    assert [path.partition("?")[0] for _method, path, _headers in trusted.asked].count(
        "/token"
    ) == 1
