# SPDX-License-Identifier: GPL-3.0-or-later
"""podman's row of the table of engines."""

from __future__ import annotations

from ...typed import TYPE_CHECKING, Mapping
from ...values.policy import NETWORKS
from ..runner import Runner
from . import command

if TYPE_CHECKING:
    from ...system.account import Account
    from ...system.system import System
    from ..images.store import Store
    from ..traits import Traits


def _store(system: System) -> Store:
    from .images.store import PodmanStore

    return PodmanStore(system)


def _places(account: Account, root: str) -> Mapping[str, str]:
    from .images.places import places

    return places(account, root)


def _traits() -> Traits:
    from .traits import TRAITS

    return TRAITS


RUNNER = Runner(
    name="podman",
    programs=("podman",),
    networks=NETWORKS,
    options=command.OPTIONS,
    hint=command.hint,
    complaint=command.complaint,
    run=command.run,
    store=_store,
    traits=_traits,
    places=_places,
    early=command.messages,
    environment=command.environment,
    stop=command.stop,
    kill=command.kill,
    remove=command.remove,
    exists=command.exists,
    delete=command.delete,
    cdi=True,
    conf=True,
    gone="image not known",
)
