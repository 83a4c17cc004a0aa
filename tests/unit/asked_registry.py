# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of a registry's answers share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ansible_collections.tre.ces.plugins.module_utils.ces.system.registry import Registry
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import Credentials

DIGEST = "sha256:" + "1" * 64
LOGIN = Credentials("ada", "p'a\"s $s`id`:\u20ac")
ANONYMOUS = Credentials()


def registry(
    host: SimpleNamespace,
    reference: str = "p/app:1",
    login: Credentials = ANONYMOUS,
    environ: dict[str, str] | None = None,
    **more: Any,
) -> Registry:
    return Registry(ImageRef.parse(f"{host.name}/{reference}"), login, environ or {}, **more)


def serve(
    host: SimpleNamespace,
    status: int = 200,
    method: str = "HEAD",
    reference: str = "1",
    body: bytes = b"",
    **headers: str,
) -> None:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    host.answers[method, f"/v2/p/app/manifests/{reference}"] = (status, named, body)


OCI = "application/vnd.oci.image"


def manifest(config: str = DIGEST, **more: str) -> dict[str, Any]:
    named = {"digest": config, "mediaType": f"{OCI}.config.v1+json", "size": 2}
    return {"config": named, "layers": [{"size": 9, "mediaType": "a/tar"}], **more}
