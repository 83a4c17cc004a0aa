# SPDX-License-Identifier: GPL-3.0-or-later
"""The name by which a user sees an image file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services.image_files import link_here


def test_a_link_is_made_and_follows_the_next_pull(tmp_path: Path) -> None:
    link = tmp_path / "app:1.sif"
    for file in ("/store/old.sif", "/store/new.sif"):
        link_here(file, str(link), force=False)
        assert os.readlink(link) == file
    assert os.listdir(tmp_path) == ["app:1.sif"]


def test_a_file_of_that_name_gives_way_only_to_force(tmp_path: Path) -> None:
    link = tmp_path / "app:1.sif"
    link.write_text("mine")
    with pytest.raises(CesError, match="a file of that name which ces-pull did not make"):
        link_here("/store/new.sif", str(link), force=False)
    assert link.read_text() == "mine"
    link_here("/store/new.sif", str(link), force=True)
    assert os.readlink(link) == "/store/new.sif"
