# SPDX-License-Identifier: GPL-3.0-or-later
"""podman's row of the table of engines."""

from __future__ import annotations

from ...typed import TYPE_CHECKING
from ...values.policy import NETWORKS
from ..runner import Runner
from . import command, messages

if TYPE_CHECKING:
    from ..images.trial import Try
    from ..runner import Places, Stores
    from ..traits import Traits


def _store() -> Stores:
    from .images.store import PodmanStore

    return PodmanStore


def _places() -> Places:
    from .images.places import places

    return places


def _traits() -> Traits:
    from .traits import TRAITS

    return TRAITS


def _trial() -> Try:
    from .images.trial import try_out

    return try_out


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
    trial=_trial,
    early=messages.messages,
    environment=command.environment,
    stop=command.stop,
    kill=command.kill,
    remove=command.remove,
    exists=command.exists,
    delete=command.delete,
    cdi=True,
    conf=True,
    gone="image not known",
    signed_ids=True,
)
