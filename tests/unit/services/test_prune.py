# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that nobody has used for long. Image files are real, and so are their marks."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from recording import REGISTRY, BackEnd
from support import make_sif

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.services.images import store_of
from ansible_collections.tre.ces.plugins.module_utils.ces.services.prune import (
    prune_images,
    room_makers,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services.space import check_space
from ansible_collections.tre.ces.plugins.module_utils.ces.system.job_files import JobFiles
from ansible_collections.tre.ces.plugins.module_utils.ces.system.uses import Uses
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord

DAY = 86_400


class Images:
    """The image files of a user, and of all.

    :param backend: a back-end with apptainer alone.
    """

    def __init__(self, backend: BackEnd) -> None:
        self.system = backend.system
        self.shared = backend.place / "shared"
        policy = replace(self.system.policy, runners=("apptainer",), sif_dir=str(self.shared))
        self.system.policy = policy
        self.own = Path(self.system.account.home) / ".local/share/ces/sif"
        self.uses = Uses(self.system.account.state)

    def have(
        self, number: int, *names: str, days: float | None = None, shared: bool = False
    ) -> str:
        """Make an image that was last used so many days ago; returns its id."""
        store, image_id = self.shared if shared else self.own, f"{number:064x}"
        for part in ("digests", "names"):
            (store / part).mkdir(parents=True, exist_ok=True)
        file = f"sha256-{image_id}.sif"
        make_sif(store / "digests" / file, {})
        for name in names:
            link = f"{REGISTRY}/{name}".replace("/", "%2F")
            (store / "names" / f"{link}.sif").symlink_to(f"../digests/{file}")
        if days is not None:
            self.uses.note("apptainer", image_id)
            mark = self.marks / f"apptainer-{image_id}"
            then = time.time() - days * DAY
            os.utime(mark, (then, then))
        return image_id

    @property
    def marks(self) -> Path:
        return Path(self.system.account.state) / "images"

    def prune(self, days: int = 30, check_only: bool = False) -> dict[str, str]:
        """Why each image stays, by its name; empty for those that go."""
        found = prune_images(self.system, days, check_only)
        return {one.name.removeprefix(f"{REGISTRY}/"): one.kept for one in found}

    def left(self) -> set[str]:
        return {
            name.rpartition("%2F")[2].removesuffix(".sif")
            for name in os.listdir(self.own / "names")
        }


@pytest.fixture
def images(backend: BackEnd) -> Images:
    return Images(backend)


def test_what_was_not_used_for_long_goes_with_all_its_names_and_its_mark(images: Images) -> None:
    images.have(1, "old:1", "old:latest", days=31)
    images.have(2, "new:1", days=29)
    before = images.prune(check_only=True)
    assert images.left() == {"old:1", "old:latest", "new:1"}
    assert (
        images.prune()
        == before
        == {
            "old:1": "",
            "old:latest": "",
            "new:1": "it was used since",
        }
    )
    assert images.left() == {"new:1"}
    assert [path.name[-1] for path in images.marks.iterdir()] == ["2"]
    assert len(os.listdir(images.own / "digests")) == 1
    assert images.prune() == {"new:1": "it was used since"}


def test_an_image_of_which_no_use_is_known_gets_its_days(images: Images) -> None:
    image_id = images.have(1, "app:1")
    assert "its days begin now" in images.prune(check_only=True)["app:1"]
    assert images.uses.last("apptainer", image_id) is None
    assert "its days begin now" in images.prune()["app:1"]
    assert images.prune()["app:1"] == "it was used since"
    assert images.prune(days=0)["app:1"] == ""


def test_what_others_may_use_stays(images: Images) -> None:
    images.have(1, "app:1", days=400, shared=True)
    assert images.prune() == {"app:1": "it is for all users"}
    assert room_makers(images.system) == ""


def test_what_a_run_needs_stays(images: Images) -> None:
    image_id = images.have(1, "app:1", days=400)
    images.have(2, "queued:1", days=400)
    running = images.system.records.open()
    running.save(RunRecord(running.run_id, "RUNNING", image_id=image_id, runner="apptainer"))
    queued = images.system.records.open()
    record = RunRecord(queued.run_id, image=f"{REGISTRY}/queued:1", runner="apptainer")
    JobFiles(images.system.account.state).expect(queued.run_id, "4711")
    queued.hand_over(record)
    assert images.prune() == dict.fromkeys(("app:1", "queued:1"), "a run needs it")
    running.save(RunRecord(running.run_id, "COMPLETED", image_id=image_id, runner="apptainer"))
    assert images.prune()["app:1"] == ""


def test_an_image_that_cannot_be_removed_stays_and_the_others_go(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.have(1, "app:1", days=400)
    images.have(2, "other:1", days=400)
    unlink = os.unlink

    def refuse(path: str, **how: int) -> None:
        if "app:1" in str(path):
            raise PermissionError(13, "Permission denied", path)
        unlink(path, **how)

    monkeypatch.setattr(os, "unlink", refuse)
    found = images.prune()
    assert "Permission denied" in found["app:1"]
    assert found["other:1"] == ""
    assert images.left() == {"app:1"}


def test_marks_of_images_that_were_removed_otherwise_go_in_the_end(images: Images) -> None:
    """A home may be shared with a host that has the image."""
    for number, days in ((1, 100), (2, 500)):
        images.have(number, f"app:{number}", days=days)
        (images.own / f"digests/sha256-{number:064x}.sif").unlink()
    assert images.prune() == {}
    assert [path.name[-1] for path in images.marks.iterdir()] == ["1"]


@pytest.mark.parametrize("image_id", ["", "../x", "a/b", "."])
def test_only_ids_of_engines_get_marks(images: Images, image_id: str) -> None:
    images.uses.note("apptainer", image_id)
    assert not images.marks.exists()


def test_a_mark_that_cannot_be_made_stops_nothing(images: Images) -> None:
    images.marks.parent.mkdir(parents=True)
    images.marks.write_text("a file where the directory would be")
    images.uses.note("apptainer", "f" * 64)
    assert images.uses.last("apptainer", "f" * 64) is None


class Registry:
    """Stands where a registry is asked for an image's size."""

    def __init__(self, size: int | None) -> None:
        self.size = size

    def compressed_size(self) -> int:
        if self.size is None:
            raise CesError("ask", said="its answer has an unknown form")
        return self.size


def test_a_pull_that_cannot_fit_is_refused_and_names_what_was_not_used(images: Images) -> None:
    images.have(1, "recent:1", days=1)
    images.have(2, "oldest:1", days=90)
    images.have(3, "unknown:1")
    images.have(4, "running:1", days=500)
    running = images.system.records.open()
    running.save(RunRecord(running.run_id, "RUNNING", image=f"{REGISTRY}/running:1"))
    image = ImageRef.parse(f"{REGISTRY}/large:1")
    store = store_of("apptainer", images.system)

    def check(size: int | None) -> None:
        asked: Any = Registry(size)
        check_space(image, asked, store, images.system)

    with pytest.raises(CesError) as refused:
        check(2**60)
    assert "free some space" in refused.value.hint and "TiB" in refused.value.said
    named = [word for word in refused.value.hint.split() if word.startswith(REGISTRY)]
    assert named == [f"{REGISTRY}/{name}:1" for name in ("unknown", "oldest", "recent")]
    check(10)
    check(None)
