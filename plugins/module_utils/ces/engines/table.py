# SPDX-License-Identifier: GPL-3.0-or-later
"""THE list of engines: nothing else names them all. A new engine is a new row."""

from __future__ import annotations

from ..typed import TYPE_CHECKING, Callable, Iterable, Mapping

if TYPE_CHECKING:
    from .runner import Runner


def _podman() -> Runner:
    from .podman.runner import RUNNER

    return RUNNER


def _apptainer() -> Runner:
    from .apptainer.runner import RUNNER

    return RUNNER


def _oci() -> Runner:
    from .oci.runner import RUNNER

    return RUNNER


# each is loaded when it is asked for: a run of one engine does not pay for the others
_ROWS: Mapping[str, Callable[[], Runner]] = {
    "podman": _podman,
    "apptainer": _apptainer,
    "oci": _oci,
}
NAMES = tuple(_ROWS)
"""What users write to choose an engine, in the order in which help and messages have them."""


def runner_named(name: str) -> Runner:
    """The engine of that name.

    :raises InvalidValue: there is none.
    """
    if name not in _ROWS:
        from ..errors import InvalidValue
        from .other_engines import cure

        raise InvalidValue("a runner", name, "there is no runner of that name", cure(name, NAMES))
    return _ROWS[name]()


def known_runners(names: Iterable[str] = NAMES) -> Mapping[str, Runner]:
    """The engines of these names, in their order, without names that no engine has."""
    return {name: runner_named(name) for name in names if name in _ROWS}
