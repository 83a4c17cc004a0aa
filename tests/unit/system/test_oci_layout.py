# SPDX-License-Identifier: GPL-3.0-or-later
"""The image in a directory with an OCI image layout, as anybody may have written it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system.oci_layout import image_in_layout


def layout(place: Path, config: object, digest: str = "sha256:c0") -> str:
    """A layout whose manifest names its configuration by a digest."""
    blobs = place / "layout" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    files = {"../../index.json": {"manifests": [{"digest": "sha256:aa"}]}, "c0": config}
    files["aa"] = {"config": {"digest": digest}}
    for name, content in files.items():
        (blobs / name).write_text(json.dumps(content))
    return str(place / "layout")


@pytest.mark.parametrize("config", [{}, {"config": None}, {"config": {"Cmd": ["x"]}}])
def test_the_configuration_is_found(tmp_path: Path, config: dict[str, object]) -> None:
    assert image_in_layout(layout(tmp_path, config)) == config


@pytest.mark.parametrize(
    "digest",
    ["sha256:../../../secret", "../../..:secret", "sha256:", ":c0", "sha256:a/b", ".:secret"],
)
def test_a_digest_leads_to_no_other_file(tmp_path: Path, digest: str) -> None:
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "layout/blobs").mkdir(parents=True)
    (tmp_path / "layout/blobs/secret").write_text("{}")
    with pytest.raises(CesError, match="not of a known form"):
        image_in_layout(layout(tmp_path, {}, digest))


@pytest.mark.parametrize("config", [[], "x", {"config": ["x"]}, {"config": "x"}])
def test_a_configuration_of_another_form_is_told(tmp_path: Path, config: object) -> None:
    with pytest.raises(CesError, match="not of a known form"):
        image_in_layout(layout(tmp_path, config))
