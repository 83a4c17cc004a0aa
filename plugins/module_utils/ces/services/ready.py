# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of which nothing is left to be refused: its plan, and its image, which is here."""

from __future__ import annotations

from ..dataclass import dataclass
from ..engines.images.store import Lender, LocalImage, Store
from ..errors import NotFound
from ..system.system import System
from ..values.image import ImageFile
from ..values.record import RunRecord
from ..values.spec import PullSpec, RunSpec
from .images import store_of
from .plan import Plan, plan_run, with_image


@dataclass(frozen=True)
class Ready:
    """What a run has settled, each once: who goes on from here asks nobody again.

    :param plan: with what the image says of itself.
    :param store: what lends the image: the store of the plan's engine.
    """

    plan: Plan
    store: Lender
    image: LocalImage


def make_ready(spec: RunSpec, system: System, record: RunRecord | None = None) -> Ready:
    """Settle a run, and fetch its image if it must be fetched.

    :param record: the run's, if it has one already: it gets the warnings.
    :raises CesError: it was refused, or its image cannot be had.
    """
    plan = plan_run(spec, system)
    if record is not None:
        record.warnings = plan.warnings
    _warn(plan.warnings, system)
    store = store_of(plan.spec.runner, system)
    image = fetched_image(plan, store, system)
    complete = with_image(plan, store.config(image))
    _warn(complete.warnings[len(plan.warnings) :], system)
    return Ready(complete, store, image)


def _warn(warnings: tuple[str, ...], system: System) -> None:
    for warning in warnings:
        system.tell(f"warning: {warning}")


def stored_image(plan: Plan, store: Store) -> LocalImage | None:
    """The image, without fetching it.

    :raises NotFound: it is not there and must not be pulled.
    """
    image = plan.spec.image
    if isinstance(image, ImageFile):
        return store.open_file(image)
    here = store.find(image)
    if here is None and plan.spec.pull == "never":
        raise NotFound(
            f"run {image}",
            said="the image is not in your storage",
            hint=f"pull it first: ces-pull {plan.spec.runner} {image}",
        )
    return here


def fetched_image(plan: Plan, store: Store, system: System) -> LocalImage:
    """The image in storage, pulled first if the caller wants that.

    :raises NotFound: it is not there and must not be pulled.
    """
    spec, here = plan.spec, stored_image(plan, store)
    if here is not None and (isinstance(spec.image, ImageFile) or spec.pull != "always"):
        return here
    if isinstance(spec.image, ImageFile) or plan.registry is None:
        raise NotFound(f"run {spec.image}", said="there is no such image file")
    # only a run that pulls pays for loading TLS and HTTP (20 ms)
    from .pull import fetch_image

    wanted = PullSpec(spec.image, spec.runner, spec.credentials)
    pulled = fetch_image(wanted, plan.registry, store, system)
    if pulled.image is None:
        raise NotFound(f"run {spec.image}", said="the image is not in your storage")
    return pulled.image
