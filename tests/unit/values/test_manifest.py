# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests, whoever wrote them."""

from __future__ import annotations

from typing import Any

import pytest
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.values.manifest import (
    DOCKER,
    OCI,
    Layer,
    Manifest,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.platform import (
    architecture_of,
    unlike,
)

DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "12")
RAW = {
    "mediaType": OCI,
    "config": {"mediaType": "a/config", "digest": OTHER, "size": 7},
    "layers": [{"mediaType": "a/tar", "size": 3, "digest": OTHER}, {"size": 4}],
}


def test_a_manifest_says_what_the_image_is_made_of() -> None:
    manifest = Manifest.from_dict(RAW, DIGEST, indexes=1)
    assert manifest == Manifest(
        DIGEST, OCI, OTHER, "a/config", (Layer("a/tar", 3), Layer("", 4)), 1
    )
    assert manifest.size == 7


def test_the_registry_says_the_form_where_the_manifest_does_not() -> None:
    raw = {key: value for key, value in RAW.items() if key != "mediaType"}
    assert Manifest.from_dict(raw, DIGEST, DOCKER).form == DOCKER
    assert Manifest.from_dict(RAW, DIGEST, DOCKER).form == OCI


@pytest.mark.parametrize(
    "change",
    [
        {"config": None},
        {"config": {}},
        {"config": {"digest": 5}},
        {"layers": None},
        {"layers": [None]},
        {"layers": [{}]},
        {"layers": [{"size": True}]},
        {"layers": [{"size": -1}]},
        {"layers": [{"size": 2**63}]},
        {"layers": [{"size": 1, "mediaType": ["a"]}]},
        {"layers": [{"size": 1}] * 10_001},
        {"mediaType": "x" * 300},
    ],
)
def test_what_is_no_manifest_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"known form|layer"):
        Manifest.from_dict({**RAW, **change}, DIGEST)


@pytest.mark.parametrize(
    ("machine", "architecture"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("s390x", "s390x")]
)
def test_a_machine_has_the_name_that_registries_know(machine: str, architecture: str) -> None:
    assert architecture_of(machine) == architecture


def test_an_image_for_another_processor_is_unlike_this_one() -> None:
    assert unlike("", "amd64") is unlike("amd64", "amd64") is None
    said, cure = there(unlike("arm64", "amd64"))
    assert said == "it is for arm64, and this host is amd64"
    assert cure == "ask for a variant of the image for linux/amd64"
