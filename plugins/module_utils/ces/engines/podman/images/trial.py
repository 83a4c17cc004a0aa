# SPDX-License-Identifier: GPL-3.0-or-later
"""A container of podman on trial: its image goes through podman's storage, as a registry's does."""

from __future__ import annotations

import json
import tarfile

from ....blocks import suppress
from ....dataclass import replace
from ....errors import CesError
from ....system.files import explained, write_new
from ....typed import Any, Iterator
from ....values.trial import Odd, Trial
from ...images.trial import Bench
from .. import command as podman

_ACCEPT = '{"default": [{"type": "insecureAcceptAnything"}]}'
_STORAGE = (
    "remove the database that records it, see what else is found (ces-doctor), or apply the role"
    " container_storage"
)


def try_out(bench: Bench) -> Trial:
    """Run it, and ask podman where it has its storage."""
    # without a session podman would note a wrong place of its state, and keep to it
    bench.account.runtime_base  # noqa: B018
    lent, image = bench.lend(), f"localhost/{bench.launch.name}:latest"
    _give(bench, image)
    options = tuple(word for word in lent.options if word != "--rootfs")
    try:
        _done, trial = bench.run(replace(lent, image=image, options=options))
    finally:
        with suppress(CesError):
            bench.do("remove the small image", *podman.image_remove(image).argv)
    return trial if trial.said else replace(trial, odd=tuple(_odd(bench)))


def _give(bench: Bench, image: str) -> None:
    archive, policy = f"{bench.work}/image.tar", f"{bench.work}/policy.json"
    with explained(f"pack a small image into {archive}"):
        write_new(policy, _ACCEPT)
        with tarfile.open(archive, "w") as tar:
            tar.add(bench.launch.image, ".", filter=_of_root)
    accept = ("--quiet", f"--signature-policy={policy}")
    bench.do("give podman a small image", "podman", "import", *accept, archive, image)


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode |= 0o755 if entry.isdir() else 0
    return entry


def _odd(bench: Bench) -> Iterator[Odd]:
    """What of the storage is not as it should be."""
    said = bench.do("ask podman for its storage", "podman", "info", "--format=json")
    found: dict[str, Any] = json.loads(said.stdout)
    rootless = str(found["host"]["security"]["rootless"]).lower()
    for what, have, expected in (
        ("rootless", rootless, "true"),
        ("driver", found["store"]["graphDriverName"], "overlay"),
        ("run root", found["store"]["runRoot"], f"/run/user/{bench.account.uid}/containers"),
    ):
        if have != expected:
            said_of_it = f"podman's {what} is {have}, and not {expected}"
            yield Odd(said_of_it, _STORAGE, "container_storage")
