# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks say of hosts, made of files below a directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recording import BackEnd, make_backend

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.gpu import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.checks.look import findings_of
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.gpu import (
    GpuHost,
    look_at_gpus,
    slurm_gres,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import Policy

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "gpu"
VERSION = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n"
)
NODES = ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm")


def write(backend: BackEnd, path: str, text: str = "") -> Path:
    file = backend.place / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def backend(tmp_path: Path) -> BackEnd:
    return make_backend(tmp_path)


@pytest.fixture
def host(backend: BackEnd) -> BackEnd:
    """A host with two GPUs on which all is well."""
    for minor, bus in enumerate(("0000:17:00.0", "0000:65:00.0")):
        write(backend, f"sys/bus/pci/devices/{bus}/vendor", "0x10de\n")
        write(backend, f"sys/bus/pci/devices/{bus}/class", "0x030200\n")
        facts = f"Model: \t\t Tesla V100\nDevice Minor: \t {minor}\n"
        write(backend, f"proc/driver/nvidia/gpus/{bus}/information", facts)
    write(backend, "proc/driver/nvidia/version", VERSION)
    write(backend, "proc/modules", "nvidia_uvm 1 0 - Live 0x0\nnvidia 1 1 nvidia_uvm, Live 0x0\n")
    for name in NODES:
        write(backend, f"dev/{name}")
    for library in ("libcuda.so.550.54.14",):
        write(backend, f"usr/lib/{library}")
    write_spec(backend)
    backend.process.answer("nvidia-smi -L", stdout=(SAMPLES / "list.txt").read_text())
    backend.process.answer(
        "nvidia-ctk", stdout="NVIDIA Container Toolkit CLI version 1.17.8\ncommit: f202b80\n"
    )
    backend.process.answer("scontrol", rc=1)
    return backend


def write_spec(backend: BackEnd, names: str = "01", driver: str = "550.54.14") -> None:
    devices = [
        {"name": n, "containerEdits": {"deviceNodes": [{"path": f"/dev/nvidia{n}"}]}} for n in names
    ]
    library = f"/usr/lib/libcuda.so.{driver}"
    common = {
        "deviceNodes": [{"path": "/dev/nvidiactl"}],
        "mounts": [{"hostPath": library, "containerPath": library}],
    }
    spec = {"kind": "nvidia.com/gpu", "devices": devices, "containerEdits": common}
    write(backend, "etc/cdi/nvidia.json", json.dumps(spec))


def look(backend: BackEnd) -> GpuHost:
    return look_at_gpus(backend.system.account, backend.process, str(backend.place))


def wrong(backend: BackEnd) -> dict[str, str]:
    found = list(findings_of(LOOKS, look(backend), Policy()))
    assert [one.check for one in found] == [row.name for row in LOOKS]
    return {one.check.removeprefix("gpu_"): str(one) for one in found if one.level != "ok"}


def test_a_host_on_which_all_is_well(host: BackEnd) -> None:
    assert wrong(host) == {}
    assert look(host).hardware == {"nvidia.com/gpu": 2}


def test_a_host_without_a_gpu_is_asked_nothing(backend: BackEnd) -> None:
    write(backend, "sys/bus/pci/devices/0/vendor", "0x8086\n")
    write(backend, "sys/bus/pci/devices/0/class", "0x030000\n")
    write(backend, "sys/bus/pci/devices/1/vendor", "0x10de\n")
    write(backend, "sys/bus/pci/devices/1/class", "0x040300\n")  # the sound of a graphics card
    assert look(backend).kind is None
    assert wrong(backend) == {}


def remove(path: str) -> Callable[[BackEnd], object]:
    return lambda backend: (backend.place / path).unlink()


def says(words: str, **answer: Any) -> Callable[[BackEnd], object]:
    return lambda backend: backend.process.answer(words, **answer)


@pytest.mark.parametrize(
    ("break_it", "check", "parts"),
    [
        (
            lambda host: [
                remove("proc/driver/nvidia/version")(host),
                write(host, "proc/modules", "nouveau 1 0 - Live 0x0\n"),
            ],
            "driver_loaded",
            ("nouveau has the GPU", "restart"),
        ),
        (
            says("nvidia-smi -L", rc=18, stdout="Failed to initialize NVML: mismatch\n"),
            "driver_loaded",
            ("mismatch", "restart the host"),
        ),
        (
            lambda host: [write(host, "proc/modules", ""), remove("dev/nvidia-uvm")(host)],
            "uvm_loaded",
            ("modprobe nvidia_uvm",),
        ),
        (says("nvidia-ctk", rc=127), "toolkit_version", ("not installed", "gpu_toolkit")),
        (says("nvidia-ctk", stdout="version 1.9.0\n"), "toolkit_version", ("1.9.0", "1.14")),
        (remove("etc/cdi/nvidia.json"), "spec_readable", ("there is none in /etc/cdi",)),
        (
            lambda host: write(host, "etc/cdi/b.json", "{"),
            "spec_readable",
            ("not readable", "b.json"),
        ),
        (
            lambda host: [
                write(
                    host,
                    "etc/containers/containers.conf",
                    '[engine]\ncdi_spec_dirs = ["/opt/cdi"]\n',
                )
            ],
            "spec_readable",
            ("podman does not look where", "cdi_spec_dirs"),
        ),
        (
            lambda host: write(
                host, "etc/cdi/b.json", (host.place / "etc/cdi/nvidia.json").read_text()
            ),
            "spec_readable",
            ("both", "remove the older"),
        ),
        (
            lambda host: write_spec(host, driver="535.183.01"),
            "spec_of_driver",
            ("is for driver 535.183.01, and 550.54.14 is loaded", "systemctl start"),
        ),
        (
            remove("usr/lib/libcuda.so.550.54.14"),
            "spec_of_driver",
            ("libcuda.so.550.54.14, which is not there",),
        ),
        (lambda host: write_spec(host, "0"), "mig_layout", ("lacks 1", "systemctl start")),
        (
            says("nvidia-smi -L", stdout=(SAMPLES / "list-mig.txt").read_text()),
            "mig_layout",
            ("lacks 0:0, 0:1 and has 0, which the driver has not",),
        ),
        (remove("dev/nvidia1"), "devices_accessible", ("/dev/nvidia1 is not there",)),
        (
            says("scontrol", stdout="NodeName=x Gres=gpu:v100:1(S:0-1) State=IDLE\n"),
            "slurm_count",
            ("Slurm has 1 GPUs here, and the specification 2", "gres.conf"),
        ),
        (
            lambda host: write(host, "usr/share/containers/oci/hooks.d/oci-nvidia-hook.json"),
            "no_legacy_hook",
            ("oci-nvidia-hook.json", "remove the file"),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_found_and_how_to_mend_it_said(
    host: BackEnd,
    break_it: Callable[[BackEnd], object],
    check: str,
    parts: tuple[str, ...],
) -> None:
    break_it(host)
    found = wrong(host)
    assert check in found
    for part in parts:
        assert part in found[check]


def test_what_slurm_may_give_out(host: BackEnd) -> None:
    assert slurm_gres(look(host)) == [
        {"name": "gpu", "type": "v100-pcie-32gb", "files": ["/dev/nvidia0"]},
        {"name": "gpu", "type": "h100-80gb-hbm3", "files": ["/dev/nvidia1"]},
    ]
    host.process.answer("scontrol", stdout="NodeName=x Gres=gpu:v100:1(S:0-1),gpu:h100:1 State=x\n")
    assert look(host).slurm == 2
    assert "slurm_count" not in wrong(host)
    write(host, "etc/cdi/nvidia.json", (SAMPLES / "mig.json").read_text())
    host.process.answer("nvidia-smi -L", stdout=(SAMPLES / "list-mig.txt").read_text())
    gres = slurm_gres(look(host))
    assert [(one["type"], one.get("multiple_files", one.get("files"))) for one in gres] == [
        ("3g.20gb", ["/dev/nvidia0", *(f"/dev/nvidia-caps/nvidia-cap{n}" for n in (21, 22))]),
        ("3g.20gb", ["/dev/nvidia0", *(f"/dev/nvidia-caps/nvidia-cap{n}" for n in (30, 31))]),
        ("a100-sxm4-40gb", ["/dev/nvidia1"]),
    ]


def test_a_driver_that_does_not_show_in_proc_is_asked(backend: BackEnd) -> None:
    backend.process.answer("nvidia-smi --query-gpu", stdout="550.54.14\n550.54.14\n")
    assert look(backend).driver == "550.54.14"
    assert look(backend).kind == "nvidia.com/gpu"


def test_amds_cards(backend: BackEnd) -> None:
    write(backend, "sys/bus/pci/devices/0/vendor", "0x1002\n")
    write(backend, "sys/bus/pci/devices/0/class", "0x038000\n")
    backend.process.answer("scontrol", rc=1)
    assert look(backend).kind == "amd.com/gpu"
    assert wrong(backend).keys() == {"driver_loaded", "spec_readable"}
    write(backend, "dev/kfd")
    node = {"path": "/dev/dri/renderD128"}
    write(backend, "dev/dri/renderD128")
    devices = [{"name": "0", "containerEdits": {"deviceNodes": [node]}}]
    spec = {"kind": "amd.com/gpu", "devices": devices}
    write(backend, "etc/cdi/amd.json", json.dumps(spec))
    assert wrong(backend) == {}
    assert slurm_gres(look(backend)) == [{"name": "gpu", "files": ["/dev/dri/renderD128"]}]
