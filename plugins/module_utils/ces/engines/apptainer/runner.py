# SPDX-License-Identifier: GPL-3.0-or-later
"""apptainer's row of the table of engines."""

from __future__ import annotations

from ...typed import TYPE_CHECKING
from ..runner import Runner
from . import command

if TYPE_CHECKING:
    from ..images.trial import Try
    from ..runner import Places, Stores
    from ..traits import Traits


def _store() -> Stores:
    from .images.store import SifStore

    return SifStore


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
    name="apptainer",
    programs=("apptainer",),
    networks=("none", "host"),
    options=command.OPTIONS,
    hint=command.hint,
    complaint=command.complaint,
    run=command.run,
    store=_store,
    traits=_traits,
    places=_places,
    trial=_trial,
    files=True,
    reserved=command.RESERVED,
    shell_names=True,
    gpu_without_spec=True,
)
