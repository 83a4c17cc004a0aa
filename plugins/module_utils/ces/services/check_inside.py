# SPDX-License-Identifier: GPL-3.0-or-later
"""Will an image work here, by its files, too? It is fetched for that, unless it is here.

The engine that counts fetches it and keeps it, so that a run finds it. All engines are judged by
these files: an image has the same files for each of them, but for their owners.
"""

from __future__ import annotations

import os

from ..checks.facts import Engine, Host, Image, Opened
from ..checks.image import image_findings
from ..checks.image_files import file_findings
from ..dataclass import dataclass, replace
from ..engines.command import words_of
from ..engines.images.store import LocalImage, Store
from ..errors import Busy, CesError, Interrupted, RefusedByPolicy
from ..system.account import Account
from ..system.inside import Owned, look_inside
from ..system.system import System
from ..system.tree import Unseen
from ..typed import Sequence
from ..values.finding import worst
from ..values.image import Image as ImageOrFile
from ..values.image import ImageFile
from ..values.inside import Inside
from ..values.spec import CheckSpec, PullSpec
from ..values.subids import IdRange
from .check import (
    Checked,
    Verdict,
    allowed_for,
    checked_of,
    known_by,
    look_at_engine,
    look_at_host,
    names_of,
    question,
    subordinate,
)
from .images import store_of
from .pull import pull_image
from .space import spaces_in


def check_inside(spec: CheckSpec, system: System, check_only: bool = False) -> Checked:
    """Look at an image's manifest, configuration and files, and at what matters on this host.

    An image that the engine that counts has is looked at as it is here: its registry is not asked.
    One that cannot work by its manifest and configuration is not fetched.

    :param check_only: fetch nothing.
    :raises CesError: it cannot be looked at: the registry does not answer, say.
    """
    if spec.elsewhere:
        raise CesError(
            f"look into the files of {spec.image}",
            said="that needs an engine of this host, and another host is meant",
            hint="leave out either --pull (pull) or --elsewhere (elsewhere)",
        )
    looks = [look_at_engine(name, spec, system) for name in names_of(spec, system)]
    first, here = looks[0]
    local = _local(spec.image, here, first, system)
    if local is not None:
        image, source = _said_here(spec.image, local, first, system), ""
    else:
        image, source = question(spec, system)()
    host = look_at_host(system)
    engines = [known_by(one, found, spec.image, image) for one, found in looks]
    opened = _open(_Asked(spec, system, check_only), image, host, engines[0], local)
    if opened.inside is not None and opened.inside.cuda:
        host = replace(host, driver=_driver(system))
    engines = [_with(one, opened, engines[0].here, system) for one in engines]
    verdicts = [
        Verdict(one.name, (*image_findings(image, host, one), *file_findings(image, host, one)))
        for one in engines
    ]
    checked = checked_of(spec, image, verdicts, source)
    digest = checked.digest or engines[0].here or ""
    return replace(checked, digest=digest, pulled=opened.pulled or opened.would)


@dataclass(frozen=True)
class _Asked:
    """What was asked for."""

    spec: CheckSpec
    system: System
    check_only: bool


def _local(
    image: ImageOrFile, here: LocalImage | None, engine: Engine, system: System
) -> LocalImage | None:
    """The image as the engine that counts has it; None if it has none."""
    if isinstance(image, ImageFile) and engine.refusal is None:
        return store_of(engine.name, system).open_file(image)
    return here


def _said_here(name: ImageOrFile, local: LocalImage, engine: Engine, system: System) -> Image:
    """What is known of an image that is here, without its registry."""
    image = Image(str(name), raw=store_of(engine.name, system).said(local))
    if isinstance(name, ImageFile):
        return image
    try:
        _allowed, unnamed = allowed_for(name, system.policy)
    except RefusedByPolicy as error:
        return replace(image, refusal=error, refused_by="policy")
    return replace(image, unnamed=unnamed)


def _open(
    asked: _Asked, image: Image, host: Host, engine: Engine, local: LocalImage | None
) -> Opened:
    """Fetch the image if that must be and is of use, and look into it."""
    opened = Opened(engine.name)
    if engine.refusal is not None:
        return replace(opened, unseen=f"{engine.name} cannot be used")
    if local is None:
        if worst(image_findings(image, host, engine)) == "fault":
            return replace(opened, unseen=f"nothing was pulled for {engine.name}, see its faults")
        if asked.check_only:
            return replace(opened, would=True)
        try:
            local = _pulled(asked, engine)
        except (Busy, Interrupted):
            raise
        except CesError as error:
            said = f"{engine.name} could not pull it"
            return replace(opened, refusal=_short(error), unseen=said)
        opened = replace(opened, pulled=True)
    store = store_of(engine.name, asked.system)
    opened = replace(opened, place=_place(local, store), size=local.size)
    try:
        return replace(opened, inside=_look(store, local, image, engine, asked.system))
    except (Unseen, CesError) as error:
        return replace(opened, unseen=str(error))


def _pulled(asked: _Asked, engine: Engine) -> LocalImage:
    spec = asked.spec
    if isinstance(spec.image, ImageFile):
        raise CesError(f"look into {spec.image}", said="there is no such image file")
    asked.system.tell(f"{engine.name} is pulling {spec.image}")
    pulled = pull_image(PullSpec(spec.image, engine.name, spec.credentials), asked.system)
    if pulled.image is None:
        raise CesError(f"look into {spec.image}", said="it is not in your storage")
    return pulled.image


def _short(error: CesError) -> CesError:
    """The same with the engine's last line alone: before that it tells how far it got."""
    lines = error.stderr.strip().splitlines() or [error.said]
    return CesError(error.tried, said=lines[-1], hint=error.hint)


def _place(local: LocalImage, store: Store) -> str:
    """Where an engine keeps an image."""
    rooms = [room.path for room in store.rooms() if room.deep]
    return local.file or (rooms or [f"the storage of {local.runner}"])[0]


def _look(store: Store, local: LocalImage, image: Image, engine: Engine, system: System) -> Inside:
    config = image.config
    try:
        words: Sequence[str] = words_of(image.name, config.entrypoint, config.cmd)
    except CesError:
        words = ()
    ids = _ids(system.account) if engine.runner.traits().subordinate_ids else None
    with store.files(local) as tree:
        return look_inside(tree, config, words, ids)


def _ids(account: Account) -> Owned | None:
    """The ids of the host that a user's containers can have; None where no file says it."""
    uids, gids = subordinate("uid", account), subordinate("gid", account)
    if uids is None or gids is None:
        return None
    users, groups = [IdRange(account.uid, 1), *uids], [IdRange(os.getegid(), 1), *gids]

    def owned(uid: int, gid: int) -> bool:
        return _has(users, uid) and _has(groups, gid)

    return owned


def _has(ranges: Sequence[IdRange], number: int) -> bool:
    return any(ids.start <= number <= ids.last for ids in ranges)


def _with(one: Engine, opened: Opened, digest: str | None, system: System) -> Engine:
    """An engine with what was seen, unless it has another image of that name."""
    if one.name == opened.by:
        if opened.pulled:
            one = replace(one, spaces=spaces_in(store_of(one.name, system).rooms()))
    elif digest is not None and one.here not in (None, digest):
        other = f"{one.name} has another image of that name ({one.here})"
        opened = replace(opened, inside=None, unseen=other)
    return replace(one, opened=opened)


def _driver(system: System) -> str:
    # only who finds CUDA in an image pays for loading it
    from ..system.host.gpu import nvidia_driver

    return nvidia_driver(system.process)
