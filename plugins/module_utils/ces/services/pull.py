# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch an image from an allowed registry, when what is in storage is not what the registry has."""

from __future__ import annotations

from ..blocks import suppress
from ..dataclass import dataclass
from ..engines.images.store import LocalImage, Store
from ..errors import CesError, Damaged
from ..system.audit import audit
from ..system.authfile import login_for
from ..system.files import locked
from ..system.registry import registry_here
from ..system.system import System
from ..system.uses import Uses
from ..typed import Sequence
from ..values.image import ImageRef
from ..values.policy import AllowedRegistry
from ..values.spec import PullSpec
from .images import store_of
from .plan import usable_runner
from .space import check_space

_PATIENCE = 3600.0
"""Seconds to wait for somebody else who fetches the same image."""


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
    usable_runner(spec.runner, system)
    store = store_of(spec.runner, system)
    return fetch_image(spec, system.policy.registry_for(spec.image), store, system, check_only)


def fetch_image(
    spec: PullSpec,
    allowed: AllowedRegistry,
    store: Store,
    system: System,
    check_only: bool = False,
) -> Pulled:
    """As :func:`pull_image`, for a caller that has settled the rest.

    :param allowed: what the policy says of the image's registry.
    :param store: the images of the engine, which this host has and the site allows.
    """
    image, source = spec.image, allowed.source(spec.image)
    login = login_for(source, spec.credentials, system.account, system.process)
    registry = registry_here(source, login, allowed, system)
    remote = registry.digest()
    here = _whole(image, store)
    previous = here.digest_of(image, remote) if here else None
    if previous == remote and not spec.force:
        if not check_only:
            store.vouch(image, remote)
            _used(here, system)
        return Pulled(False, here, remote, previous)
    registry.check_size(system.policy.image_size_limit)
    if check_only:
        return Pulled(True, here, remote, previous, store.plan_fetch(image, source, remote))
    check_space(image, registry, store, system)
    return _fetch_once(spec, source, Pulled(True, here, remote, previous), store, system)


def _whole(image: ImageRef, store: Store) -> LocalImage | None:
    """What the store has; a damaged image is fetched like one that is not there."""
    try:
        return store.find(image)
    except Damaged:
        return None


def _fetch_once(
    spec: PullSpec, source: ImageRef, before: Pulled, store: Store, system: System
) -> Pulled:
    """Fetch under a lock: of many who ask at once one transfers, the others find it there."""
    image, remote = spec.image, before.digest
    waited: list[str] = []

    def waiting(holder: str) -> None:
        waited.append(holder)
        system.tell(f"{holder} is pulling {image} at the moment: waiting for that")

    argv: Sequence[str] = ()
    told_to_stop = system.process.told_to_stop
    lock = store.lock_file(image, remote)
    with locked(lock, waiting, _PATIENCE, store.lock_mode, told_to_stop):
        # Somebody may have fetched it since we looked. A caller with --force wants it fetched all
        # the same, unless we have just waited for somebody who did.
        here = _whole(image, store) if waited or not spec.force else None
        if here is None or here.digest_of(image, remote) != remote:
            argv = store.fetch(image, source, remote, spec.credentials)
            here = store.find(image, fresh=True)
            if here is not None and here.digest_of(image, remote) != remote:
                raise _another(image, remote, here, store)
    if here is None:
        raise CesError(
            f"pull {image}", said="the engine says it did, but the image is not there", cmd=argv
        )
    audit(
        system.policy,
        "pull",
        user=system.account.name,
        image=str(image),
        digest=remote,
        runner=spec.runner,
    )
    _used(here, system)
    changed = before.previous != here.digest_of(image, remote)
    return Pulled(changed, here, remote, before.previous, argv)


def _used(image: LocalImage | None, system: System) -> None:
    """A pull is a use of the image, also when nothing was transferred."""
    if image is not None:
        Uses(system.account.state).note(image.runner, image.id)


def _another(image: ImageRef, remote: str, here: LocalImage, store: Store) -> CesError:
    """What arrived is not what the registry has; it goes again."""
    with suppress(CesError):  # a container may use it
        store.remove(image)
    return CesError(
        f"pull {image}",
        said=f"the registry has {remote}, and {here.digest_of(image) or here.digest} arrived",
        hint="pull it again, in case the registry has just changed it; if that is no help, move"
        " your own registries.conf away, which may lead to another registry",
    )
