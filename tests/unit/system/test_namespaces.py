# SPDX-License-Identifier: GPL-3.0-or-later
"""A trial mount in a directory that somebody else fills meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.namespaces import (
    overlay_said,
    own_overlay_said,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished


class Meddler:
    """Stands for a process: whose user puts links where the kernel makes a directory."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def run(self, command: Any) -> Finished:
        options = command.argv[command.argv.index("-o") + 1]
        (work,) = (word[8:] for word in options.split(",") if word.startswith("workdir="))
        os.symlink(self.victim, f"{work}/work")
        os.symlink(self.victim, f"{os.path.dirname(work)}/link")
        return Finished(command.argv, 0, "", "")


@pytest.mark.parametrize("trial", [overlay_said, own_overlay_said])
def test_no_link_is_followed_when_it_is_cleared_away(tmp_path: Path, trial: Any) -> None:
    if trial is overlay_said and os.geteuid() != 0:
        pytest.skip("gives directories to another user, which root alone may")
    victim, place = tmp_path / "victim", tmp_path / "place"
    place.mkdir()
    victim.mkdir()
    (victim / "file").write_text("text")
    victim.chmod(0o755)
    assert trial(Meddler(victim), str(place)) == ""
    assert victim.stat().st_mode & 0o777 == 0o755
    assert (victim / "file").read_text() == "text"
    assert list(place.iterdir()) == []
