# SPDX-License-Identifier: GPL-3.0-or-later
"""Which GPUs a process may use, and what they are called in the installed CDI specifications."""

from __future__ import annotations

import re

from ..dataclass import dataclass
from ..errors import CesError, NotFound
from ..typed import Mapping, Sequence
from .cdi import ALL, Bind, Device, Edits, Spec, devices_of

REFRESH = (
    "the administrator makes the specification anew: systemctl start"
    " tre-ces-gpu-refresh.service, or nvidia-cdi-refresh.service (role gpu)"
)
"""What helps where a specification says something else than the host has."""

TRIED = "give the container the GPU"

_LIBRARY = re.compile(r"/lib[^/]*\.so(\.[^/]*)?$")
_ID = re.compile(r"[A-Za-z0-9.:/-]+")
_NUMBER = re.compile(r"[0-9]{1,4}")
_UUID = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]+")


@dataclass(frozen=True)
class Allocated:
    """GPUs that somebody has set aside for this process.

    :param ids: numbers, UUIDs or names of MIG instances; none if it was given none.
    :param by: who did, for messages: ``job 4711``, ``CUDA_VISIBLE_DEVICES``.
    :param in_order: numbers count what Slurm gives out, where an instance of a divided GPU counts
        as a GPU does, and not the GPUs themselves.
    """

    ids: tuple[str, ...]
    by: str
    in_order: bool = False


@dataclass(frozen=True)
class Gpus:
    """The answer: what an engine has to give a container.

    :param kind: ``nvidia.com/gpu``.
    :param names: of the devices of that kind, as the specification has them.
    :param edits: all that they put into a container; None where no specification is installed and
        the engine has to look for itself: ``names`` is then what libraries are to take, if not all.
    :param libraries: of the edits' mounts, by each of their names, for engines that run no hooks.
    """

    kind: str
    names: tuple[str, ...] = ()
    edits: Edits | None = None
    libraries: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """The full names, ``nvidia.com/gpu=0``."""
        return tuple(f"{self.kind}={name}" for name in self.names)

    @property
    def libraries_mounted(self) -> tuple[Bind, ...]:
        """Those of the mounts that are libraries."""
        mounts = self.edits.mounts if self.edits else ()
        return tuple(mount for mount in mounts if _LIBRARY.search(mount.host))


def allocated_by_slurm(environ: Mapping[str, str], job: str) -> Allocated:
    """The GPUs of a Slurm job, as its variables have them.

    A step may have fewer than its job. UUIDs, which Slurm names where it knows them (AutoDetect),
    are the same wherever one counts from; a number in CUDA_VISIBLE_DEVICES is not, where the job's
    cgroup hides the other GPUs.
    """
    by = f"job {job}"
    seen = visible(environ)
    given = environ.get("SLURM_STEP_GPUS") or environ.get("SLURM_JOB_GPUS")
    if seen is not None and seen.ids and all(map(_UUID.fullmatch, seen.ids)):
        return Allocated(seen.ids, by)
    if given is not None:
        return Allocated(_ids(given), by, in_order=True)
    return Allocated(seen.ids if seen else (), by, in_order=True)


def visible(environ: Mapping[str, str]) -> Allocated | None:
    """What the variables that the vendors' libraries read say; None if they say nothing."""
    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        if name in environ:
            return Allocated(_ids(environ[name]), name)
    return None


def _ids(text: str) -> tuple[str, ...]:
    """The list as the libraries read it: it ends before the first that is no device."""
    found: list[str] = []
    for word in map(str.strip, text.split(",")):
        if not _ID.fullmatch(word) or word in ("NoDevFiles", "none", "void") or word[0] == "-":
            break
        found.append(word)
    return tuple(found)


def chosen_gpus(
    specs: Sequence[Spec],
    allocated: Allocated | None,
    count: int | None,
    listed: Mapping[str, str] | None = None,
) -> Gpus:
    """The devices of one kind that a container gets.

    :param specs: all of that kind; at least one.
    :param allocated: those that it may use; None is all.
    :param count: how many of those; None is all.
    :param listed: numbers by UUID as the driver has them, for a specification without UUIDs.
    :raises NotFound: a specification lacks one.
    """
    devices = [device for spec in specs for device in devices_of(spec)]
    if allocated is None and count is None:
        whole = [spec for spec in specs if ALL in spec.devices]
        if len(whole) == len(specs) == 1:
            return Gpus(whole[0].kind, (ALL,), whole[0].devices[ALL] + whole[0].edits)
    if not devices:
        raise lacking(specs, "any device")
    usable = devices
    if allocated is not None:
        numbered = allocated.in_order
        usable = [_named(name, numbered, devices, specs, listed) for name in allocated.ids]
    found = first(count, usable, allocated.by if allocated else "this host")
    edits = Edits()
    for device in found:
        edits = edits + device.edits + device.spec.edits
    return Gpus(specs[0].kind, tuple(device.name for device in found), edits)


def first(count: int | None, found: Sequence[Device], where: str) -> Sequence[Device]:
    """As many as are wanted.

    :raises CesError: there are not so many.
    """
    if count is None:
        return found
    if count > len(found):
        raise CesError(
            f"give the container {count} GPUs",
            said=f"{where} has {len(found)}",
            hint="ask for fewer, or Slurm for more (--gres=gpu:N)",
        )
    return found[:count]


def _named(
    name: str,
    in_order: bool,
    devices: Sequence[Device],
    specs: Sequence[Spec],
    listed: Mapping[str, str] | None,
) -> Device:
    if _NUMBER.fullmatch(name):
        number = int(name)
        divided = any(device.is_instance for device in devices)
        if in_order and divided and number < len(devices):
            return devices[number]
        for device in devices:
            if name in device.names or device.place == (number,):
                return device
        raise lacking(specs, name)
    exact = [device for device in devices if name in device.names]
    # libraries take the beginning of a UUID for it, if no other begins so
    alike = [d for d in devices if any(n.startswith(name) and _UUID.match(n) for n in d.names)]
    for found in (exact, alike if _UUID.fullmatch(name) else []):
        if len(found) == 1:
            return found[0]
    number_of = (listed or {}).get(name)
    for device in devices:
        if number_of is not None and number_of in device.names:
            return device
    raise lacking(specs, name)


def lacking(specs: Sequence[Spec], name: str) -> NotFound:
    """A device is not in the specification: it is of another day than the driver, or of MIG."""
    files = " and ".join(spec.file for spec in specs)
    there = ", ".join(name for spec in specs for name in spec.devices) or "none"
    lacks = f"{files} has no {specs[0].kind}={name} (it has {there})"
    return NotFound(
        TRIED,
        said=f"the CDI specification is stale: {lacks}",
        hint=REFRESH,
    )
