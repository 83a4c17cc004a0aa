# SPDX-License-Identifier: GPL-3.0-or-later
"""Which GPUs a run gets: what was set aside for it, by the names that this host knows them by.

Loaded only by runs with a GPU.
"""

from __future__ import annotations

import os

from ..dataclass import replace
from ..errors import CesError
from ..typed import Mapping, Protocol, Sequence
from ..values.cdi import AMD, KINDS, NVIDIA, Spec
from ..values.command import Command
from ..values.gpu_listing import numbers, parse_listing
from ..values.gpus import (
    TRIED,
    Allocated,
    Gpus,
    allocated_by_slurm,
    chosen_gpus,
    lacking,
    visible,
)
from .cdi import Installed, installed
from .files import may
from .system import System

LIST = Command(("nvidia-smi", "-L"), role="gpu")
_WITHOUT = {NVIDIA: "dev/nvidiactl", AMD: "dev/kfd"}
"""What is there where a GPU of that kind can be used."""


class Engine(Protocol):
    """What must be known of an engine here, as its row of the table has it."""

    @property
    def cdi(self) -> bool:
        """It reads CDI specifications itself."""

    @property
    def gpu_without_spec(self) -> bool:
        """It can give GPUs where no CDI specification is installed."""


def gpus_for(count: int | None, system: System, runner: Engine, root: str = "") -> Gpus:
    """The GPUs that a container gets, as the engine has to name them.

    :param count: how many of those that it may use; None is all.
    :param root: of the host, for tests.
    :raises CesError: there are none, not so many, or the installed specification is stale.
    """
    allocated = allocated_here(system)
    if allocated is not None and not allocated.ids:
        raise CesError(
            TRIED,
            said=(
                f"Slurm gave job {system.allocation.job_id} none"
                if system.allocation
                else f"{allocated.by} says that you may use none"
            ),
            hint="ask Slurm for it: --gres=gpu:1, or gpus: 1 of tre.ces.ces_run",
        )
    here = installed(system.account, root)
    kind = _kind(here, system.account.environ)
    if kind is None:
        if runner.gpu_without_spec and not here.unreadable:
            # as libraries count in the cgroup of a job, which may hide the GPUs of others
            counted = visible(system.account.environ) or allocated
            return _without_spec(count, counted, root)
        raise _no_spec(here)
    specs = here.of(kind)
    try:
        found = chosen_gpus(specs, allocated, count, _listed(specs, allocated, system))
    except CesError as error:
        if here.unreadable and "stale" in error.said:
            error.said += f"; and not read was {'; '.join(here.unreadable)}"
        raise
    _check(found, specs, root)
    return found if runner.cdi else replace(found, libraries=_libraries(found, root))


def kinds_here(root: str = "") -> list[str]:
    """The kinds of GPU that this host's kernel has a driver for."""
    return [kind for kind, path in _WITHOUT.items() if os.path.exists(f"{root}/{path}")]


def allocated_here(system: System) -> Allocated | None:
    """What was set aside for this process; None where nobody says anything."""
    environ = system.account.environ
    if system.allocation is None:
        return visible(environ)
    return allocated_by_slurm(environ, system.allocation.job_id)


def _kind(here: Installed, environ: Mapping[str, str]) -> str | None:
    """The kind of GPU that there is; the variables of the job say which of two."""
    amd_alone = "ROCR_VISIBLE_DEVICES" in environ and "CUDA_VISIBLE_DEVICES" not in environ
    for kind in reversed(KINDS) if amd_alone else KINDS:
        if here.of(kind):
            return kind
    return None


def _listed(
    specs: Sequence[Spec], allocated: Allocated | None, system: System
) -> Mapping[str, str] | None:
    """Numbers by UUID, asked of the driver only for UUIDs that no specification has."""
    known = [name for spec in specs for name in spec.devices]
    wanted = [name for name in (allocated.ids if allocated else ()) if "-" in name]
    if all(any(name.startswith(one) for name in known) for one in wanted):
        return None
    if not system.account.has_program("nvidia-smi"):
        return None
    finished = system.process.run(LIST)
    return numbers(parse_listing(finished.stdout)) if finished.ok else None


def _without_spec(count: int | None, allocated: Allocated | None, root: str) -> Gpus:
    """Where there is no specification: the engine looks, and libraries take what we name."""
    kinds = kinds_here(root)
    if not kinds:
        raise CesError(
            TRIED,
            said="this host has neither /dev/nvidiactl nor /dev/kfd, and no CDI specification",
            hint="leave --gpu out, or ask the administrator for a back-end with a GPU (role gpu)",
        )
    names = allocated.ids if allocated else ()
    if count is None:
        return Gpus(kinds[0], names)
    if allocated is not None and count > len(names):
        raise CesError(f"give the container {count} GPUs", said=f"{allocated.by} has {len(names)}")
    return Gpus(kinds[0], names[:count] if allocated else tuple(map(str, range(count))))


def _libraries(found: Gpus, root: str) -> tuple[str, ...]:
    """The libraries among what is mounted, by each name that the host has for them.

    Programs ask for ``libcuda.so.1``; what the driver installs, and CDI names, is
    ``libcuda.so.550.54.14``. Engines that know CDI run hooks that make the links.
    """
    real = {os.path.realpath(f"{root}{mount.host}") for mount in found.libraries_mounted}
    places = sorted({os.path.dirname(f"{root}{mount.host}") for mount in found.libraries_mounted})
    names = []
    for place in places:
        with os.scandir(place) as entries:
            names += [
                entry.path
                for entry in entries
                if ".so" in entry.name and os.path.realpath(entry.path) in real
            ]
    return tuple(sorted(names))


def _no_spec(here: Installed) -> CesError:
    where = ", ".join(here.directories)
    unread = f"; could not be read: {'; '.join(here.unreadable)}" if here.unreadable else ""
    return CesError(
        TRIED,
        said=f"there is no CDI specification of a GPU in {where}{unread}",
        hint="the administrator makes one that everybody can read (role gpu); where there is no"
        " GPU, leave --gpu out",
    )


def _check(found: Gpus, specs: Sequence[Spec], root: str) -> None:
    """A specification that was made for another driver names files that are gone.

    :raises CesError: saying which.
    """
    edits = found.edits
    if edits is None:
        return
    gone = [path for path in edits.hosts if not os.path.exists(f"{root}{path}")]
    if gone:
        error = lacking(specs, "")
        files = " and ".join(spec.file for spec in specs)
        error.said = f"the CDI specification is stale: {files} names {gone[0]}, which is not there"
        raise error
    for node in edits.nodes:
        if not may(f"{root}{node.host}", node.needs(found.kind)):
            raise CesError(
                TRIED,
                said=f"you may not use {node.host}",
                hint="the administrator lets you: gpu_device_mode, or its group (role gpu)",
            )
