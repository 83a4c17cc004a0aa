# SPDX-License-Identifier: GPL-3.0-or-later
"""Specifications of the Container Device Interface: what a device puts into a container.

https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
"""

from __future__ import annotations

import re

from ..dataclass import dataclass
from ..errors import CesError
from ..typed import Any, Iterable, Mapping, Sequence

NVIDIA = "nvidia.com/gpu"
AMD = "amd.com/gpu"
KINDS = (NVIDIA, AMD)
"""Kinds of devices that are GPUs; where a host has several and nothing says which, the first."""
ALL = "all"
"""The device that stands for all of a file."""

_UNIT = re.compile(r"(?:gpu|mig)?([0-9]+)(?::([0-9]+))?")
_GPU_NODE = re.compile(r"/dev/nvidia[0-9]+|/dev/nvidia-caps/.*|/dev/dri/renderD[0-9]+")
_DRIVER = re.compile(r"/lib(?:cuda|nvidia-ml)\.so\.([0-9]+\.[0-9.]+)")


@dataclass(frozen=True)
class Node:
    """A device node: where it is in the container, and on the host."""

    path: str
    host: str

    def needs(self, kind: str) -> str:
        """What a user must be able to do with it: ``rw``, ``r`` of rights to instances (MIG).

        Nothing of those that are for displays: they belong to the group of who sits at one.
        """
        if kind == NVIDIA and self.host.startswith("/dev/dri/"):
            return ""
        return "r" if self.host.startswith("/dev/nvidia-caps/") else "rw"


@dataclass(frozen=True)
class Bind:
    """Something of the host that is mounted: a library of the driver, for example."""

    path: str
    host: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hook:
    """A program that the engine runs at a moment of the container's life."""

    when: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edits:
    """What is changed in a container."""

    env: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    mounts: tuple[Bind, ...] = ()
    hooks: tuple[Hook, ...] = ()

    def __add__(self, other: Edits) -> Edits:
        """Both, each thing once."""
        return Edits(
            _once(self.env + other.env),
            _once(self.nodes + other.nodes),
            _once(self.mounts + other.mounts),
            _once(self.hooks + other.hooks),
        )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every path of the host that must be there."""
        return (*(node.host for node in self.nodes), *(mount.host for mount in self.mounts))


@dataclass(frozen=True)
class Spec:
    """A file's devices by name, each with its own edits, and the edits for any of them."""

    file: str
    kind: str
    devices: Mapping[str, Edits]
    edits: Edits = Edits()

    @property
    def driver(self) -> str:
        """The version of the driver whose libraries it names, or nothing."""
        for mount in (*self.edits.mounts, *(m for e in self.devices.values() for m in e.mounts)):
            found = _DRIVER.search(mount.host)
            if found:
                return found[1]
        return ""


@dataclass(frozen=True)
class Device:
    """A GPU, or an instance of one (MIG), as a specification has it.

    :param names: all that it is called in the file, its number first.
    :param place: the GPU's number, and the instance's, by which devices are in order.
    """

    names: tuple[str, ...]
    place: tuple[int, ...]
    edits: Edits
    spec: Spec

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def is_instance(self) -> bool:
        return len(self.place) > 1

    @property
    def nodes(self) -> tuple[str, ...]:
        """The device files that it has and others have not: what Slurm gives out."""
        return tuple(node.host for node in self.edits.nodes if _GPU_NODE.fullmatch(node.host))


def parse_spec(raw: Any, file: str) -> Spec:
    """The specification that a file's JSON or YAML holds.

    :raises CesError: it is none.
    """
    try:
        return Spec(
            file=file,
            kind=str(raw["kind"]),
            devices={
                str(item["name"]): _edits(item.get("containerEdits"))
                for item in raw.get("devices") or ()
            },
            edits=_edits(raw.get("containerEdits")),
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise CesError(
            f"read the CDI specification {file}",
            said=f"it is none: {type(error).__name__} {error}",
            hint="the administrator makes it anew (role gpu)",
        ) from None


def devices_of(spec: Spec) -> tuple[Device, ...]:
    """The devices of a file, in order; a device of several names is one.

    A GPU that is divided is no device of its own: its instances are.
    """
    by_edits: dict[Edits, list[str]] = {}
    for name, edits in spec.devices.items():
        if name != ALL:
            # devices without any edits are told apart by nothing but their names
            key = edits if edits != Edits() else Edits(env=(f"{name}=",))
            by_edits.setdefault(key, []).append(name)
    found = []
    for names in by_edits.values():
        names.sort(key=lambda name: (_UNIT.fullmatch(name) is None, name))
        unit = _UNIT.fullmatch(names[0])
        place = tuple(int(part) for part in unit.groups() if part) if unit else ()
        found.append(Device(tuple(names), place, spec.devices[names[0]], spec))
    divided = {device.place[0] for device in found if device.is_instance}
    whole = [d for d in found if d.is_instance or not d.place or d.place[0] not in divided]
    return tuple(sorted(whole, key=lambda device: (not device.place, device.place, device.names)))


def _edits(raw: Mapping[str, Any] | None) -> Edits:
    given = raw or {}
    return Edits(
        env=tuple(map(str, given.get("env") or ())),
        nodes=tuple(
            Node(str(item["path"]), str(item.get("hostPath") or item["path"]))
            for item in given.get("deviceNodes") or ()
        ),
        mounts=tuple(
            Bind(str(item["containerPath"]), str(item["hostPath"]), _texts(item.get("options")))
            for item in given.get("mounts") or ()
        ),
        hooks=tuple(
            Hook(
                str(item["hookName"]),
                str(item["path"]),
                _texts(item.get("args")),
                _texts(item.get("env")),
            )
            for item in given.get("hooks") or ()
        ),
    )


def _texts(values: Sequence[Any] | None) -> tuple[str, ...]:
    return tuple(map(str, values or ()))


def _once(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(items))
