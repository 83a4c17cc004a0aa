# SPDX-License-Identifier: GPL-3.0-or-later
"""Can containers on this host have its GPUs? No I/O."""

from __future__ import annotations

from ..system.host.gpu import GpuHost, devices_in
from ..typed import Callable, Iterator
from ..values.cdi import ALL, AMD, NVIDIA
from ..values.gpu_listing import numbers
from ..values.gpus import REFRESH
from ..values.policy import Policy
from .look import Look, Told

TOOLKIT_LEAST = (1, 14)
"""The first toolkit that takes ``--format=json`` with all that a specification has."""
Tell = Callable[[GpuHost, Policy], Iterator[Told]]


def _of(*kinds: str) -> Callable[[Callable[[GpuHost], Iterator[Told]]], Tell]:
    """A row for hosts with GPUs of these kinds."""

    def decorate(tell: Callable[[GpuHost], Iterator[Told]]) -> Tell:
        return lambda host, _policy: tell(host) if host.kind in kinds else iter(())

    return decorate


def _wrong(said: str, cure: str) -> Told:
    return Told("warning", said, cure, "gpu")


@_of(NVIDIA, AMD)
def tell_driver(host: GpuHost) -> Iterator[Told]:
    """Whether the driver is loaded, and answers."""
    if host.kind == AMD:
        if not host.amd_driver:
            yield _wrong("there is no /dev/kfd", "modprobe amdgpu")
    elif host.driver:
        if host.listing_said:
            said = host.listing_said.strip().splitlines()[0]
            yield _wrong(f"nvidia-smi says: {said}", "restart the host after an update of it")
    elif "nouveau" in host.modules:
        yield _wrong(
            "the driver nouveau has the GPU, which containers cannot use",
            "role gpu with gpu_driver: distribution, then restart the host",
        )
    else:
        yield _wrong(
            "NVIDIA's driver is not loaded",
            "modprobe nvidia; install it with the role gpu (gpu_driver) if there is none",
        )


@_of(NVIDIA)
def tell_uvm(host: GpuHost) -> Iterator[Told]:
    """Whether CUDA's module is loaded."""
    if not {"nvidia_uvm", "nvidia_current_uvm"} & host.modules:
        yield _wrong(
            "nvidia_uvm is not loaded: CUDA would find no GPU",
            "modprobe nvidia_uvm; for every boot the role gpu writes /etc/modules-load.d",
        )


@_of(NVIDIA)
def tell_toolkit(host: GpuHost) -> Iterator[Told]:
    """Whether NVIDIA's container toolkit is there, and new enough."""
    if not host.toolkit:
        yield _wrong(
            "NVIDIA's container toolkit is not installed",
            "role gpu with gpu_toolkit: repository (gpu_toolkit_url, gpu_toolkit_key)",
        )
    elif tuple(int(part) for part in host.toolkit.split(".")) < TOOLKIT_LEAST:
        wanted = ".".join(map(str, TOOLKIT_LEAST))
        yield _wrong(
            f"NVIDIA's container toolkit is {host.toolkit}", f"update it to {wanted} or newer"
        )


@_of(NVIDIA, AMD)
def tell_readable(host: GpuHost) -> Iterator[Told]:
    """Whether the user can read a specification."""
    if host.cdi_error:
        yield _wrong(host.cdi_error, "remove the older of the two files")
    elif host.cdi.unreadable:
        yield _wrong(
            f"not readable for {host.user}: {'; '.join(host.cdi.unreadable)}",
            "chmod 0644 the file and 0755 its directory; the role gpu does",
        )
    elif not host.specs and host.elsewhere:
        yield _wrong(
            f"podman does not look where {host.elsewhere[0]} is",
            "set cdi_spec_dirs in containers.conf; the role gpu does",
        )
    elif not host.specs:
        yield _wrong(f"there is none in {', '.join(host.cdi.directories)}", REFRESH)


@_of(NVIDIA)
def tell_stale(host: GpuHost) -> Iterator[Told]:
    """Whether the specification is that of the driver."""
    for spec in host.specs:
        if spec.driver and host.driver and spec.driver != host.driver:
            yield _wrong(
                f"{spec.file} is for driver {spec.driver}, and {host.driver} is loaded", REFRESH
            )
            return
        edits = (spec.edits, *spec.devices.values())
        gone = [path for edit in edits for path in edit.hosts if path in host.gone]
        if gone:
            yield _wrong(f"{spec.file} names {gone[0]}, which is not there", REFRESH)
            return


@_of(NVIDIA)
def tell_layout(host: GpuHost) -> Iterator[Told]:
    """Whether it has the driver's GPUs and instances, by number or UUID."""
    have = {name for spec in host.specs for name in spec.devices} - {ALL}
    if not host.listed or not have:
        return
    divided = {gpu.uuid for gpu in host.listed if gpu.instances}
    wanted = {uuid: name for uuid, name in numbers(host.listed).items() if uuid not in divided}
    known = {*wanted, *wanted.values()}
    new = [name for uuid, name in wanted.items() if not {uuid, name, _typed(name)} & have]
    old = [
        name
        for device in devices_in(host)
        for name in device.names[:1]
        if not {*device.names, *(_plain(one) for one in device.names)} & known
    ]
    # one number stays when an instance is made anew, and its UUID does not
    old += [name for name in have if name.startswith("MIG-") and name not in wanted]
    lacks = f"lacks {', '.join(new)}" if new else ""
    more = f"has {', '.join(old)}, which the driver has not" if old else ""
    if new or old:
        yield _wrong(f"the specification {' and '.join(filter(None, (lacks, more)))}", REFRESH)


@_of(NVIDIA, AMD)
def tell_devices(host: GpuHost) -> Iterator[Told]:
    """Whether the user may use the device files."""
    for node in host.nodes:
        if node.host in host.gone:
            yield _wrong(
                f"{node.host} is not there", "nvidia-modprobe -u -c 0, or restart the host"
            )
            return
        if node.host in host.closed:
            yield _wrong(
                f"{host.user} may not use {node.host}",
                "role gpu: gpu_device_mode, or the user's membership in gpu_device_group",
            )
            return


@_of(NVIDIA, AMD)
def tell_slurm(host: GpuHost) -> Iterator[Told]:
    """Whether Slurm counts as many."""
    there = len(devices_in(host))
    if host.slurm is not None and host.slurm != there:
        yield _wrong(
            f"Slurm has {host.slurm} GPUs here, and the specification {there}",
            "apply the roles gpu and slurm again, or correct gres.conf and slurm.conf",
        )


@_of(NVIDIA, AMD)
def tell_hooks(host: GpuHost) -> Iterator[Told]:
    """Whether hooks of the way before CDI are gone."""
    if host.hooks:
        yield _wrong(
            f"{', '.join(host.hooks)} gives containers GPUs beside CDI",
            "remove the file; the role gpu does",
        )


def _typed(name: str) -> str:
    return f"mig{name}" if ":" in name else f"gpu{name}"


def _plain(name: str) -> str:
    return name[3:] if name.startswith(("gpu", "mig")) else name


LOOKS = (
    Look("gpu_driver_loaded", "the GPUs' driver is loaded, or there are none", tell_driver),
    Look("gpu_uvm_loaded", "nvidia_uvm is loaded, or not needed", tell_uvm),
    Look("gpu_toolkit_version", "NVIDIA's toolkit is new enough, or not needed", tell_toolkit),
    Look("gpu_spec_readable", "the user can read a CDI specification of all GPUs", tell_readable),
    Look("gpu_spec_of_driver", "the CDI specification is that of the driver", tell_stale),
    Look("gpu_mig_layout", "the CDI specification has the driver's GPUs", tell_layout),
    Look("gpu_devices_accessible", "the user may use all device files of GPUs", tell_devices),
    Look("gpu_slurm_count", "Slurm has as many GPUs as the CDI specification", tell_slurm),
    Look("gpu_no_legacy_hook", "no hook of the way before CDI is installed", tell_hooks),
)
"""In the order in which causes come before their effects. A new check is a new row."""
