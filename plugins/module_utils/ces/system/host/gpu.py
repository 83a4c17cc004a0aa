# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host has to do with GPUs: hardware, driver, tools, specifications. Reads only."""

from __future__ import annotations

import glob
import os
import re

from ...dataclass import dataclass
from ...errors import CesError
from ...typed import Any, Iterator, Mapping, Sequence
from ...values.cdi import AMD, NVIDIA, Device, Edits, Node, Spec, devices_of
from ...values.command import Command
from ...values.gpu_listing import (
    Listed,
    driver_version,
    gpu_facts,
    parse_listing,
    slurm_type,
)
from ..account import Account
from ..cdi import DIRECTORIES, Installed, installed
from ..files import may, read_if_there
from ..process import Finished, Process

LEGACY_HOOKS = (
    "/usr/share/containers/oci/hooks.d/oci-nvidia-hook.json",
    "/etc/containers/oci/hooks.d/oci-nvidia-hook.json",
)
"""What older guides install: podman would put the GPU in twice, and not the job's alone."""

_VENDORS = {"0x10de": NVIDIA, "0x1002": AMD}
_DISPLAY = ("0x0300", "0x0302", "0x0380", "0x1200")
"""Classes of PCI devices that are GPUs: VGA, 3D, other display controllers, accelerators."""
_DRIVERS = {NVIDIA: ("nvidia",), AMD: ("amdgpu",)}
_LIST = Command(("nvidia-smi", "-L"), role="gpu")
_DRIVER_VERSION = Command(
    ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"), role="gpu"
)
_TOOLKIT = Command(("nvidia-ctk", "--version"), role="gpu")


@dataclass(frozen=True)
class GpuHost:
    """One host, as one user sees it.

    :param hardware: how many GPUs of each kind are on the bus, or known to a driver.
    :param modules: the kernel's modules of their drivers that are loaded.
    :param driver: version of NVIDIA's driver as it is loaded, or nothing.
    :param minors: numbers of the device files ``/dev/nvidiaN`` that the driver has GPUs for.
    :param listed: what ``nvidia-smi -L`` lists; ``listing_said`` is its complaint.
    :param toolkit: version of NVIDIA's container toolkit, or nothing.
    :param cdi: the specifications where podman looks; ``cdi_error`` is why none can be used.
    :param elsewhere: specifications in the usual directories in which podman does not look.
    :param hooks: files of the way before CDI.
    :param slurm: GPUs that Slurm's node of this name has; None where there is no such node.
    :param user: who looked.
    :param nodes: the device files of the specifications, and the driver's own.
    :param gone: files that those name and that are not there.
    :param closed: device files that the user may not use.
    :param amd_driver: whether AMD's driver shows its device file.
    """

    hardware: Mapping[str, int]
    modules: frozenset[str]
    driver: str
    minors: tuple[int, ...]
    listed: tuple[Listed, ...]
    listing_said: str
    toolkit: str
    cdi: Installed
    cdi_error: str = ""
    elsewhere: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    slurm: int | None = None
    user: str = ""
    nodes: tuple[Node, ...] = ()
    gone: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    amd_driver: bool = False

    @property
    def kind(self) -> str | None:
        """What there is: NVIDIA's where there are several."""
        return next((kind for kind in (NVIDIA, AMD) if self.hardware.get(kind)), None)

    @property
    def specs(self) -> Sequence[Spec]:
        """The specifications of that kind."""
        return self.cdi.of(self.kind) if self.kind else ()


def devices_in(host: GpuHost) -> list[Device]:
    """The GPUs and instances that the specifications have."""
    return [device for spec in host.specs for device in devices_of(spec)]


def slurm_gres(host: GpuHost) -> list[dict[str, Any]]:
    """What Slurm may give out, in the order of the specification, so that its numbers are ours."""
    found: list[dict[str, Any]] = []
    for device in devices_in(host):
        files = list(device.nodes)
        if not files:
            continue
        if device.is_instance:
            files_of = {"multiple_files": files}
        else:
            # the file that the driver's libraries open first is what Slurm watches
            files_of = {"files": [next((f for f in files if "/nvidia" in f), files[0])]}
        model = _model(host, device)
        found.append({"name": "gpu", **({"type": model} if model else {}), **files_of})
    return found


def _model(host: GpuHost, device: Device) -> str:
    for gpu in host.listed:
        if device.place[:1] == (gpu.number,):
            for part in gpu.instances:
                if device.place == (gpu.number, part.number):
                    return part.profile
            return slurm_type(gpu.model)
    return ""


def look_at_gpus(account: Account, process: Process, root: str = "") -> GpuHost:
    """Find out all of it.

    :param root: of the host, for tests.
    """
    driver = nvidia_driver(process, root)
    modules = _modules(root, driver)
    minors = _minors(root)
    listing = _ask(process, _LIST) if driver else None
    toolkit = _ask(process, _TOOLKIT)
    specs, error = _specs(account, root)
    hardware = _hardware(root, driver, minors, modules)
    kind = next((kind for kind in (NVIDIA, AMD) if hardware.get(kind)), "")
    here = specs.of(kind) if kind else ()
    nodes = tuple(dict.fromkeys(_nodes(here, minors)))
    named = {path for spec in here for edit in _edits(spec) for path in edit.hosts}
    named |= {node.host for node in nodes}
    looked = {f"{root}{directory}" for directory in specs.directories}
    return GpuHost(
        hardware=hardware,
        modules=modules,
        driver=driver,
        minors=minors,
        listed=parse_listing(listing.stdout) if listing else (),
        listing_said="" if listing is None or listing.ok else (listing.stderr or listing.stdout),
        toolkit=_version(toolkit.stdout) if toolkit and toolkit.ok else "",
        cdi=specs,
        cdi_error=error,
        elsewhere=tuple(
            file
            for directory in DIRECTORIES
            if f"{root}{directory}" not in looked
            for file in sorted(glob.glob(f"{root}{directory}/*"))
        ),
        hooks=tuple(path for path in LEGACY_HOOKS if os.path.lexists(f"{root}{path}")),
        slurm=_slurm(process),
        user=account.name,
        nodes=nodes,
        gone=frozenset(path for path in named if not os.path.exists(f"{root}{path}")),
        closed=frozenset(
            node.host for node in nodes if not may(f"{root}{node.host}", node.needs(kind))
        ),
        amd_driver=os.path.exists(f"{root}/dev/kfd"),
    )


def _edits(spec: Spec) -> Sequence[Edits]:
    return (spec.edits, *spec.devices.values())


def _nodes(specs: Sequence[Spec], minors: Sequence[int]) -> Iterator[Node]:
    for spec in specs:
        for edits in _edits(spec):
            yield from edits.nodes
    for minor in minors:
        yield Node(f"/dev/nvidia{minor}", f"/dev/nvidia{minor}")


def nvidia_driver(process: Process, root: str = "") -> str:
    """Version of NVIDIA's driver as it is loaded, or nothing."""
    said = read_if_there(f"{root}/proc/driver/nvidia/version")
    return driver_version(said) or _asked(process)


def _hardware(
    root: str, driver: str, minors: tuple[int, ...], modules: frozenset[str]
) -> dict[str, int]:
    """GPUs on the bus; a machine that shows none may have a driver that knows some."""
    found = {NVIDIA: 0, AMD: 0}
    for device in glob.glob(f"{root}/sys/bus/pci/devices/*"):
        kind = _VENDORS.get(read_if_there(f"{device}/vendor").strip())
        if kind and read_if_there(f"{device}/class")[:6] in _DISPLAY:
            found[kind] += 1
    if driver:
        found[NVIDIA] = max(found[NVIDIA], len(minors), 1)
    if modules & set(_DRIVERS[AMD]) and os.path.exists(f"{root}/dev/kfd"):
        found[AMD] = max(found[AMD], 1)
    return {kind: count for kind, count in found.items() if count}


def _modules(root: str, driver: str) -> frozenset[str]:
    """By the kernel's list; a driver that is a part of it is known by what it has registered."""
    listed = {line.split(" ")[0] for line in _lines(f"{root}/proc/modules")}
    registered = {line.split()[-1] for line in _lines(f"{root}/proc/devices") if line.strip()}
    built_in = {"nvidia"} if driver else set()
    if "nvidia-uvm" in registered or _opens(f"{root}/dev/nvidia-uvm"):
        built_in.add("nvidia_uvm")
    known = ("nvidia", "nouveau", "amdgpu")
    return frozenset({name for name in listed if name.startswith(known)} | built_in)


def _minors(root: str) -> tuple[int, ...]:
    """In the order of the bus, as the driver numbers its GPUs."""
    found = []
    for file in sorted(glob.glob(f"{root}/proc/driver/nvidia/gpus/*/information")):
        minor = gpu_facts(read_if_there(file)).get("Device Minor", "")
        if minor.isdigit():
            found.append(int(minor))
    return tuple(found)


def _asked(process: Process) -> str:
    """The driver's version where it does not show in /proc, in a container for example."""
    said = _ask(process, _DRIVER_VERSION)
    return _version(said.stdout) if said and said.ok else ""


def _opens(path: str) -> bool:
    """Whether there is a driver behind a device file, or we may not know."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _specs(account: Account, root: str) -> tuple[Installed, str]:
    try:
        return installed(account, root), ""
    except CesError as error:
        return Installed((), DIRECTORIES), str(error)


def _ask(process: Process, command: Command) -> Finished | None:
    """What a tool answers; None where it is not installed."""
    try:
        return process.run(command)
    except CesError:
        return None


def _version(text: str) -> str:
    found = re.search(r"[0-9]+\.[0-9]+(\.[0-9]+)?", text)
    return found[0] if found else ""


def _slurm(process: Process) -> int | None:
    """GPUs that Slurm has for this node, by its configuration."""
    node = os.uname().nodename.partition(".")[0]
    said = _ask(process, Command(("scontrol", "--oneliner", "show", "node", node), role="slurm"))
    if said is None or not said.ok:
        return None
    found = re.search(r"\bGres=(\S+)", said.stdout)
    words = re.sub(r"\([^)]*\)", "", found[1]).split(",") if found else []
    counts = [word.split(":") for word in words if word.split(":")[0] == "gpu"]
    return sum(int(parts[-1]) if parts[-1].isdigit() else 1 for parts in counts)


def _lines(path: str) -> list[str]:
    return read_if_there(path).splitlines()
