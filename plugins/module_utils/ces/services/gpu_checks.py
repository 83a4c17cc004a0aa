# SPDX-License-Identifier: GPL-3.0-or-later
"""Can containers on this host have its GPUs? Each finding says how to mend it."""

from __future__ import annotations

from ..dataclass import asdict, dataclass
from ..system.gpu_host import GpuHost
from ..typed import Any, Callable
from ..values.cdi import ALL, AMD, NVIDIA, Device, Node, devices_of
from ..values.gpu_listing import numbers, slurm_type
from ..values.gpus import REFRESH

TOOLKIT_LEAST = (1, 14)
"""The first toolkit that takes ``--format=json`` with all that a specification has."""


@dataclass(frozen=True)
class Finding:
    """What one look gave.

    :param check: which one.
    :param ok: nothing is wrong.
    :param said: what was seen.
    :param hint: how to mend it.
    """

    check: str
    ok: bool
    said: str
    hint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return asdict(self)


@dataclass(frozen=True)
class Check:
    """One look at a host.

    :param kinds: the kinds of GPU that it is for.
    :param look: whether all is well, what was seen, and how to mend it.
    """

    name: str
    kinds: tuple[str, ...]
    look: Callable[[GpuHost], tuple[bool, str, str]]


def gpu_findings(host: GpuHost) -> list[Finding]:
    """What each of the checks finds; none where there is no GPU."""
    kind = host.kind
    return [
        Finding(check.name, *check.look(host)) for check in CHECKS if kind and kind in check.kinds
    ]


def slurm_gres(host: GpuHost) -> list[dict[str, Any]]:
    """What Slurm may give out, in the order of the specification, so that its numbers are ours."""
    kind = host.kind
    found: list[dict[str, Any]] = []
    for device in _devices(host, kind) if kind else ():
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


def _devices(host: GpuHost, kind: str | None) -> list[Device]:
    specs = host.cdi.of(kind) if kind else ()
    return [device for spec in specs for device in devices_of(spec)]


def _model(host: GpuHost, device: Device) -> str:
    for gpu in host.listed:
        if device.place[:1] == (gpu.number,):
            for part in gpu.instances:
                if device.place == (gpu.number, part.number):
                    return part.profile
            return slurm_type(gpu.model)
    return ""


# --- the checks ---


def _driver_loaded(host: GpuHost) -> tuple[bool, str, str]:
    if host.driver:
        if host.listing_said:
            said = host.listing_said.strip().splitlines()[0]
            return (
                False,
                f"nvidia-smi says: {said}",
                "restart the host after an update of the driver",
            )
        return True, f"NVIDIA's driver {host.driver} is loaded", ""
    if "nouveau" in host.modules:
        return (
            False,
            "the driver nouveau has the GPU, which containers cannot use",
            "role gpu with gpu_driver: distribution, then restart the host",
        )
    return (
        False,
        "NVIDIA's driver is not loaded",
        "modprobe nvidia; install it with the role gpu (gpu_driver) if there is none",
    )


def _amd_driver_loaded(host: GpuHost) -> tuple[bool, str, str]:
    ok = host.has("/dev/kfd")
    return ok, "amdgpu is loaded" if ok else "there is no /dev/kfd", "modprobe amdgpu"


def _spec_readable(host: GpuHost) -> tuple[bool, str, str]:
    specs = host.cdi.of(host.kind) if host.kind else ()
    if specs and not host.cdi.unreadable:
        return True, f"{', '.join(spec.file for spec in specs)} can be read by {host.user}", ""
    if host.cdi_error:
        return False, host.cdi_error, "remove the older of the two files"
    if host.cdi.unreadable:
        return (
            False,
            f"not readable for {host.user}: {'; '.join(host.cdi.unreadable)}",
            "chmod 0644 the file and 0755 its directory; the role gpu does",
        )
    if host.elsewhere:
        return (
            False,
            f"podman does not look where {host.elsewhere[0]} is",
            "set cdi_spec_dirs in containers.conf; the role gpu does",
        )
    return False, f"there is none in {', '.join(host.cdi.directories)}", REFRESH


def _spec_of_driver(host: GpuHost) -> tuple[bool, str, str]:
    for spec in host.cdi.of(NVIDIA):
        if spec.driver and host.driver and spec.driver != host.driver:
            said = f"{spec.file} is for driver {spec.driver}, and {host.driver} is loaded"
            return False, said, REFRESH
        edits = (spec.edits, *spec.devices.values())
        gone = [path for edit in edits for path in edit.hosts if not host.has(path)]
        if gone:
            return False, f"{spec.file} names {gone[0]}, which is not there", REFRESH
    return True, "the specification is that of the driver", ""


def _devices_accessible(host: GpuHost) -> tuple[bool, str, str]:
    nodes = [
        node
        for spec in (host.cdi.of(host.kind) if host.kind else ())
        for edits in (spec.edits, *spec.devices.values())
        for node in edits.nodes
    ]
    nodes += [Node(f"/dev/nvidia{minor}", f"/dev/nvidia{minor}") for minor in host.minors]
    for node in dict.fromkeys(nodes):
        if not host.has(node.host):
            said = f"{node.host} is not there"
            return False, said, "nvidia-modprobe -u -c 0, or restart the host"
        if not host.may_use(node):
            return (
                False,
                f"{host.user} may not use {node.host}",
                "role gpu: gpu_device_mode, or the user's membership in gpu_device_group",
            )
    return True, f"{host.user} may use {len(set(nodes))} device files", ""


def _uvm_loaded(host: GpuHost) -> tuple[bool, str, str]:
    if {"nvidia_uvm", "nvidia_current_uvm"} & host.modules:
        return True, "nvidia_uvm is loaded", ""
    return (
        False,
        "nvidia_uvm is not loaded: CUDA would find no GPU",
        "modprobe nvidia_uvm; for every boot the role gpu writes /etc/modules-load.d",
    )


def _toolkit(host: GpuHost) -> tuple[bool, str, str]:
    if not host.toolkit:
        return (
            False,
            "NVIDIA's container toolkit is not installed",
            "role gpu with gpu_toolkit: repository (gpu_toolkit_url, gpu_toolkit_key)",
        )
    version = tuple(int(part) for part in host.toolkit.split("."))
    wanted = ".".join(map(str, TOOLKIT_LEAST))
    ok = version >= TOOLKIT_LEAST
    return ok, f"NVIDIA's container toolkit is {host.toolkit}", f"update it to {wanted} or newer"


def _layout(host: GpuHost) -> tuple[bool, str, str]:
    """GPUs and instances, by number or UUID."""
    if not host.listed:
        return True, "the driver lists no GPU to compare with", ""
    have = {name for spec in host.cdi.of(NVIDIA) for name in spec.devices} - {ALL}
    if not have:
        return True, "there is no specification to compare with", ""
    divided = {gpu.uuid for gpu in host.listed if gpu.instances}
    wanted = {uuid: name for uuid, name in numbers(host.listed).items() if uuid not in divided}
    known = {*wanted, *wanted.values()}
    new = [name for uuid, name in wanted.items() if not {uuid, name, _typed(name)} & have]
    old = [
        name
        for device in _devices(host, NVIDIA)
        for name in device.names[:1]
        if not {*device.names, *(_plain(one) for one in device.names)} & known
    ]
    # one number stays when an instance is made anew, and its UUID does not
    old += [name for name in have if name.startswith("MIG-") and name not in wanted]
    if not new and not old:
        return True, f"the specification has the {len(wanted)} GPUs or instances of the driver", ""
    lacks = f"lacks {', '.join(new)}" if new else ""
    more = f"has {', '.join(old)}, which the driver has not" if old else ""
    return False, f"the specification {' and '.join(filter(None, (lacks, more)))}", REFRESH


def _slurm_count(host: GpuHost) -> tuple[bool, str, str]:
    if host.slurm is None:
        return True, "this host is no node of Slurm", ""
    there = len(_devices(host, host.kind))
    if host.slurm == there:
        return True, f"Slurm has {there} GPUs here, as the specification", ""
    return (
        False,
        f"Slurm has {host.slurm} GPUs here, and the specification {there}",
        "apply the roles gpu and slurm again, or correct gres.conf and slurm.conf",
    )


def _no_hooks(host: GpuHost) -> tuple[bool, str, str]:
    if not host.hooks:
        return True, "no hook of the way before CDI is installed", ""
    said = f"{', '.join(host.hooks)} gives containers GPUs beside CDI"
    return False, said, "remove the file; the role gpu does"


def _typed(name: str) -> str:
    return f"mig{name}" if ":" in name else f"gpu{name}"


def _plain(name: str) -> str:
    return name[3:] if name.startswith(("gpu", "mig")) else name


BOTH = (NVIDIA, AMD)
CHECKS = (
    Check("driver_loaded", (NVIDIA,), _driver_loaded),
    Check("driver_loaded", (AMD,), _amd_driver_loaded),
    Check("uvm_loaded", (NVIDIA,), _uvm_loaded),
    Check("toolkit_version", (NVIDIA,), _toolkit),
    Check("spec_readable", BOTH, _spec_readable),
    Check("spec_of_driver", (NVIDIA,), _spec_of_driver),
    Check("mig_layout", (NVIDIA,), _layout),
    Check("devices_accessible", BOTH, _devices_accessible),
    Check("slurm_count", BOTH, _slurm_count),
    Check("no_legacy_hook", BOTH, _no_hooks),
)
"""In the order in which causes come before their effects. A new check is a new row."""
