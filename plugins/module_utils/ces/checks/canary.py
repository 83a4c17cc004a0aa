# SPDX-License-Identifier: GPL-3.0-or-later
"""Did a container that was run on trial do its work, and was it as containers should be? No I/O."""

from __future__ import annotations

from ..engines.table import NAMES, runner_named
from ..typed import Callable, Iterator, Mapping
from ..values.policy import Policy
from ..values.trial import WORDS, Trial
from .idmap import ENOUGH
from .look import Look, Told

_CURE = "mend what else is found; if there is nothing, tell the administrator"


def _tell(name: str) -> Callable[[Mapping[str, Trial], Policy], Iterator[Told]]:
    def tell(found: Mapping[str, Trial], _policy: Policy) -> Iterator[Told]:
        """Whether it did, and what of it was not as it should be."""
        trial = found.get(name)
        if trial is None:
            return
        if trial.said:
            said = f"a container with {name} does not do its work: {trial.said}"
            yield Told("fault", said, trial.cure or _CURE, name)
            return
        wrong = list(_wrong(name, trial))
        for level, said, cure, of_role in wrong:
            said = f"a container with {name} ran, but not as it should: {said}"
            yield Told(level, said, cure or _CURE, of_role or name)
        if not wrong:
            yield Told("ok", f"a container with {name} did its work in {trial.seconds:.1f} s")

    return tell


def _wrong(name: str, trial: Trial) -> Iterator[tuple[str, str, str, str]]:
    """Level, what is wrong, cure and role; '' where there is none of its own."""
    traits = runner_named(name).traits()
    expected = trial.uid if traits.own_number else 0
    if trial.written != WORDS:
        yield "fault", "what it wrote is not what arrived", "", ""
    elif trial.owner != trial.uid:
        yield "fault", f"what it wrote belongs to uid {trial.owner}, not to {trial.uid}", "", ""
    if trial.inside != expected:
        yield "warning", f"its user is {trial.inside} in it, and not {expected}", "", ""
    if trial.interfaces != ("lo",):
        seen = ", ".join(trial.interfaces) or "none"
        yield "warning", f"it was to have no network but lo, and has {seen}", "", ""
    if traits.subordinate_ids and trial.ids <= ENOUGH:
        said = f"it has {trial.ids} ids, and images expect {ENOUGH} beside the user's own"
        yield "warning", said, "the administrator applies the role subid", "subid"
    for odd in trial.odd:
        yield "warning", odd.said, odd.cure, odd.role


LOOKS = tuple(
    Look(f"canary_{name}", f"the runner {name} is not allowed here", _tell(name)) for name in NAMES
)
"""One for each engine."""
