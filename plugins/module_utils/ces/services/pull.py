# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch an image from an allowed registry, when what is in storage is not what the registry has."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import CesError, Interrupted
from ..runners import podman
from ..runners.table import runner_named
from ..system.audit import audit
from ..system.authfile import auth_file, login_for
from ..system.files import locked
from ..system.process import Streams
from ..system.registry import Registry
from ..system.system import System
from ..values.image import ImageRef
from ..values.spec import PullSpec
from .images import LocalImage, find_image


@dataclass(frozen=True)
class Pulled:
    """What a pull came to.

    :param image: what is in storage now; in check mode, what was there before.
    :param digest: the registry's digest.
    :param previous: the digest that storage had before, or None.
    :param cmd: the command that ran, or would; empty when nothing needs to be done.
    """

    changed: bool
    image: LocalImage | None
    digest: str
    previous: str | None
    cmd: Sequence[str] = ()


def pull_image(spec: PullSpec, system: System, check_only: bool = False) -> Pulled:
    """Bring an image into storage; nothing is transferred when its digest is there already.

    :param check_only: find out what would happen, change nothing.
    :raises CesError: the policy, the registry or the engine refuses.
    """
    image = spec.image
    runner_named(spec.runner)
    entry = system.policy.registry_for(image)
    source = entry.source(image)
    registry = Registry(source, login_for(source, spec.credentials, system.account), system.account.environ)
    remote = registry.digest()
    here = find_image(image, system)
    previous = here.digest_of(image, remote) if here else None
    if previous == remote and not spec.force:
        return Pulled(False, here, remote, previous)
    registry.check_size(system.policy.image_size_limit)
    if check_only:
        return Pulled(True, here, remote, previous, podman.pull(str(image), None).argv)
    return _fetch_once(spec, source, remote, previous, system)


def _fetch_once(
    spec: PullSpec, source: ImageRef, remote: str, previous: str | None, system: System
) -> Pulled:
    """Fetch under a lock, so that of many who ask at once one transfers and the others find it there."""
    image = spec.image
    name = hashlib.sha256(str(image).encode()).hexdigest()[:16]
    waited: list[bool] = []

    def waiting() -> None:
        waited.append(True)
        system.tell(f"somebody else is pulling {image} at the moment: waiting for that")

    with locked(f"{system.account.runtime}/pull-{name}.lock", waiting):
        if waited:
            here = find_image(image, system)
            if here is not None and here.digest_of(image, remote) == remote:
                return Pulled(previous != remote, here, remote, previous)
        argv = _fetch(spec, source, system)
        here = find_image(image, system, fresh=True)
    if here is None:
        raise CesError(f"pull {image}", said="podman says it did, but the image is not in storage", cmd=argv)
    audit(
        system.policy, "pull", user=system.account.name, image=str(image), digest=remote, runner=spec.runner
    )
    return Pulled(previous != here.digest_of(image, remote), here, remote, previous, argv)


def _fetch(spec: PullSpec, source: ImageRef, system: System) -> Sequence[str]:
    """Let the engine transfer the image."""
    image = spec.image
    with auth_file(spec.credentials, (image, source), system.account) as authfile:
        command = podman.pull(str(image), authfile)
        finished = system.process.run(command, Streams(echo=system.echo, interruptible=True))
    if finished.stopped_by:
        raise Interrupted(f"pull {image}", finished.stopped_by)
    finished.check(f"pull {image}", podman.hint(finished.stderr))
    return command.argv
