# SPDX-License-Identifier: GPL-3.0-or-later
"""The row of the runner oci, which is crun, in the table of engines."""

from __future__ import annotations

from ...typed import TYPE_CHECKING
from ..runner import Runner
from . import command

if TYPE_CHECKING:
    from ..images.trial import Try
    from ..runner import Places, Stores
    from ..traits import Traits


def _store() -> Stores:
    from .images.store import BundleStore

    return BundleStore


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
    name="oci",
    programs=("crun", "skopeo", "umoci"),
    networks=("none", "host"),
    options=command.OPTIONS,
    hint=command.hint,
    complaint=command.complaint,
    run=command.run,
    store=_store,
    traits=_traits,
    places=_places,
    trial=_trial,
    remove=command.remove,
    check=command.check,
    aside=True,
    closed=True,
)
