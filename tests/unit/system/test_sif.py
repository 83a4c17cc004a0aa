# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read in the head of an image file. Real ones: faults/tests/test_both_runners.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import make_sif

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system.sif import (
    sif_architecture,
    sif_config,
    sif_lacks,
)

CONFIG = {"Entrypoint": ["/bin/app", ""], "Env": ["A=$B `c` \n\u20ac"], "WorkingDir": "/w"}


def test_an_image_file_says_what_its_image_says_of_itself(tmp_path: Path) -> None:
    file = make_sif(tmp_path / "a.sif", CONFIG, b"02")
    assert sif_config(str(file)) == CONFIG
    assert sif_architecture(str(file)) == "amd64"


def test_an_image_from_no_registry_says_nothing(tmp_path: Path) -> None:
    assert sif_config(str(make_sif(tmp_path / "a.sif"))) is None


TREE = (Path(__file__).parents[1] / "samples/sif/tree.squashfs").read_bytes()


def test_directories_that_an_image_file_lacks_are_known_where_its_files_can_be_read(
    tmp_path: Path,
) -> None:
    file = str(make_sif(tmp_path / "a.sif", CONFIG, files=TREE))
    assert sif_lacks(file, ("/a", "/w", "/abs/b", "/file", "/file/x", "/")) == ("/w", "/file/x")
    assert sif_lacks(str(make_sif(tmp_path / "b.sif", CONFIG)), ("/a",)) is None


@pytest.mark.parametrize(
    "said",
    [b"{", b"[]", b"\xff", b"", b'{"a":' + b"[" * 100_000, {"Env": ["A=b\0c"]}],
    ids=lambda said: str(said)[:20],
)
def test_what_is_no_configuration_is_an_error(tmp_path: Path, said: bytes | dict[str, Any]) -> None:
    with pytest.raises(CesError, match="pull it again"):
        sif_config(str(make_sif(tmp_path / "a.sif", said)))


@pytest.mark.parametrize("place", range(88, 128 + 585, 5))
def test_a_damaged_head_ends_in_an_answer_or_an_error(tmp_path: Path, place: int) -> None:
    file = make_sif(tmp_path / "a.sif", CONFIG)
    content = bytearray(file.read_bytes())
    content[place : place + 8] = b"\xff" * 8
    file.write_bytes(content)
    try:
        assert sif_config(str(file)) in (CONFIG, None)
    except CesError as error:
        assert "a.sif" in str(error)
