# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was allocated to the names of the installed specification, on samples of real forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, NotFound
from ansible_collections.tre.ces.plugins.module_utils.ces.values import gpu_listing, gpus
from ansible_collections.tre.ces.plugins.module_utils.ces.values.block_yaml import read_block_yaml
from ansible_collections.tre.ces.plugins.module_utils.ces.values.cdi import (
    Edits,
    Spec,
    devices_of,
    parse_spec,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.gpus import Allocated, chosen_gpus

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "gpu"
TWO = parse_spec(
    read_block_yaml((SAMPLES / "two-gpus.yaml.txt").read_text(), "x"), "/etc/cdi/two.yaml"
)
MIG = parse_spec(json.loads((SAMPLES / "mig.json").read_text()), "/etc/cdi/mig.json")
NUMBERS_ALONE = replace(
    MIG, devices={name: edits for name, edits in MIG.devices.items() if "-" not in name}
)
FIRST_UUID = "GPU-8f6e1c1e-2a3b-4c5d-9e7f-0a1b2c3d4e5f"
FIRST_MIG = "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"
SECOND_MIG = "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"


def test_a_device_of_several_names_is_one() -> None:
    assert [d.names for d in devices_of(TWO)] == [
        ("0", FIRST_UUID),
        ("1", "GPU-3d0a7b52-91c4-4e0a-8d55-5b6c7d8e9f00"),
    ]
    assert [d.name for d in devices_of(MIG)] == ["0:0", "0:1", "1"]
    assert devices_of(MIG)[0].nodes == (
        "/dev/nvidia0",
        "/dev/nvidia-caps/nvidia-cap21",
        "/dev/nvidia-caps/nvidia-cap22",
    )


def test_a_gpu_that_is_divided_is_no_device_of_its_own() -> None:
    spec = replace(MIG, devices={**MIG.devices, "0": MIG.devices["all"]})
    assert [d.name for d in devices_of(spec)] == ["0:0", "0:1", "1"]


def test_ten_gpus_are_in_the_order_of_their_numbers() -> None:
    devices = {str(n): Edits(env=(f"N={n}",)) for n in range(11)}
    assert [d.name for d in devices_of(replace(TWO, devices=devices))] == list(map(str, range(11)))


@pytest.mark.parametrize(
    ("spec", "ids", "in_order", "names"),
    [
        (TWO, ("0",), True, ("0",)),
        (TWO, ("1", "0"), True, ("1", "0")),
        (TWO, (FIRST_UUID,), False, ("0",)),
        (TWO, ("GPU-8f6e",), False, ("0",)),
        # what Slurm counts where GPUs are divided are instances
        (MIG, ("1",), True, ("0:1",)),
        (MIG, ("2",), True, ("1",)),
        # and the driver counts GPUs
        (MIG, ("1",), False, ("1",)),
        (MIG, ("0:1",), False, ("0:1",)),
        (MIG, (SECOND_MIG, FIRST_MIG), False, ("0:1", "0:0")),
    ],
)
def test_what_was_allocated_by_its_name_in_the_specification(
    spec: Spec, ids: tuple[str, ...], in_order: bool, names: tuple[str, ...]
) -> None:
    found = chosen_gpus((spec,), Allocated(ids, "job 1", in_order), None)
    assert found.names == names
    assert found.devices[0].startswith("nvidia.com/gpu=")


def test_a_specification_without_uuids_is_read_with_what_the_driver_lists() -> None:
    listed = gpu_listing.numbers(gpu_listing.parse_listing((SAMPLES / "list-mig.txt").read_text()))
    found = chosen_gpus((NUMBERS_ALONE,), Allocated((SECOND_MIG,), "job 1"), None, listed)
    assert found.names == ("0:1",)
    with pytest.raises(NotFound, match="stale"):
        chosen_gpus((NUMBERS_ALONE,), Allocated((SECOND_MIG,), "job 1"), None)


@pytest.mark.parametrize(
    "ids", [("2",), ("GPU-0000",), (FIRST_MIG,), ("0:0",), ("GPU-",), ("gpu9",)]
)
def test_a_name_that_the_specification_lacks_is_an_error_that_says_how_to_refresh_it(
    ids: tuple[str, ...],
) -> None:
    with pytest.raises(NotFound) as caught:
        chosen_gpus((TWO,), Allocated(ids, "job 1", in_order=True), None)
    for part in ("stale", "/etc/cdi/two.yaml", f"nvidia.com/gpu={ids[0]}", "systemctl start"):
        assert part in str(caught.value)


def test_a_divided_gpu_itself_cannot_be_had() -> None:
    with pytest.raises(NotFound, match="stale"):
        chosen_gpus((MIG,), Allocated(("0",), "CUDA_VISIBLE_DEVICES"), None)


def test_the_edits_are_those_of_the_devices_and_of_all_and_of_no_other() -> None:
    edits = there(chosen_gpus((TWO,), Allocated(("1",), "job 1"), None).edits)
    nodes = [node.path for node in edits.nodes]
    assert "/dev/nvidia1" in nodes
    assert "/dev/nvidiactl" in nodes
    assert "/dev/nvidia0" not in nodes
    assert edits.env == ("NVIDIA_VISIBLE_DEVICES=void",)
    assert [hook.args[1] for hook in edits.hooks] == ["create-symlinks", "update-ldcache"]
    both = there(chosen_gpus((TWO,), Allocated(("1", "0"), "job 1"), None).edits)
    assert len(both.mounts) == len(edits.mounts) == 2


@pytest.mark.parametrize(
    ("specs", "allocated", "count", "names"),
    [
        ((TWO,), None, None, ("all",)),
        ((TWO,), None, 1, ("0",)),
        ((MIG,), None, 2, ("0:0", "0:1")),
        ((TWO,), Allocated(("1", "0"), "job 1"), 1, ("1",)),
        ((TWO, replace(MIG, devices={"7": MIG.devices["1"]})), None, None, ("0", "1", "7")),
        ((NUMBERS_ALONE,), None, None, ("all",)),
    ],
)
def test_without_an_allocation_all_or_as_many_as_are_asked_for(
    specs: tuple[Spec, ...], allocated: Allocated | None, count: int | None, names: tuple[str, ...]
) -> None:
    assert chosen_gpus(specs, allocated, count).names == names


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(CesError, match="give the container 3 GPUs: this host has 2"):
        chosen_gpus((TWO,), None, 3)
    with pytest.raises(CesError, match="give the container 2 GPUs: job 4 has 1"):
        chosen_gpus((TWO,), Allocated(("1",), "job 4"), 2)


@pytest.mark.parametrize(
    ("variables", "ids", "in_order"),
    [
        ({}, (), True),
        ({"SLURM_JOB_GPUS": "0,1"}, ("0", "1"), True),
        ({"SLURM_JOB_GPUS": "0,1", "SLURM_STEP_GPUS": "1"}, ("1",), True),
        # in a cgroup that hides the others the variable of the libraries counts anew
        ({"SLURM_JOB_GPUS": "1", "CUDA_VISIBLE_DEVICES": "0"}, ("1",), True),
        ({"SLURM_JOB_GPUS": "1", "CUDA_VISIBLE_DEVICES": FIRST_MIG}, (FIRST_MIG,), False),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ("1",), True),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, (), True),
        ({"ROCR_VISIBLE_DEVICES": "1"}, ("1",), True),
        ({"SLURM_JOB_GPUS": "0 --privileged,1"}, (), True),
    ],
)
def test_what_a_job_was_given(
    variables: dict[str, str], ids: tuple[str, ...], in_order: bool
) -> None:
    found = gpus.allocated_by_slurm(variables, "12")
    assert (found.ids, found.in_order, found.by) == (ids, in_order, "job 12")


@pytest.mark.parametrize(
    ("value", "ids"), [("", ()), ("-1", ()), ("0,-1,1", ("0",)), ("0, 1", ("0", "1"))]
)
def test_the_variable_of_the_libraries_is_read_as_they_read_it(
    value: str, ids: tuple[str, ...]
) -> None:
    found = there(gpus.visible({"CUDA_VISIBLE_DEVICES": value}))
    assert found.ids == ids
    assert gpus.visible({}) is None


def test_listings() -> None:
    plain = gpu_listing.parse_listing((SAMPLES / "list.txt").read_text())
    assert [(g.number, g.model, g.instances) for g in plain] == [
        (0, "Tesla V100-PCIE-32GB", ()),
        (1, "NVIDIA H100 80GB HBM3", ()),
    ]
    assert plain[0].uuid == FIRST_UUID
    mig = gpu_listing.parse_listing((SAMPLES / "list-mig.txt").read_text())
    assert [(p.number, p.profile, p.uuid) for p in mig[0].instances] == [
        (0, "3g.20gb", FIRST_MIG),
        (1, "3g.20gb", SECOND_MIG),
    ]
    assert gpu_listing.parse_listing("No devices were found\n") == ()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14"
            "  Thu Feb 22 01:44:30 UTC 2024\n"
            "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n",
            "550.54.14",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build"
            "  (dvs-builder@U16)  Wed Feb 26 02:00:00 UTC 2025\n",
            "570.124.06",
        ),
        ("", ""),
    ],
)
def test_the_version_of_the_driver(text: str, version: str) -> None:
    assert gpu_listing.driver_version(text) == version


def test_the_driver_that_a_specification_was_made_for() -> None:
    assert TWO.driver == "550.54.14"
    assert MIG.driver == ""


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("NVIDIA A100-SXM4-40GB", "a100-sxm4-40gb"),
        ("Tesla V100-PCIE-32GB", "v100-pcie-32gb"),
        ("NVIDIA H100 80GB HBM3", "h100-80gb-hbm3"),
        ("NVIDIA Tesla T4", "t4"),
    ],
)
def test_what_slurm_calls_a_model(model: str, name: str) -> None:
    assert gpu_listing.slurm_type(model) == name


@pytest.mark.parametrize("raw", [None, [], {"kind": "x"}, {"kind": "x", "devices": [{}]}, "x", 1])
def test_what_is_no_specification_is_an_error_or_empty(raw: object) -> None:
    try:
        assert parse_spec(raw, "/etc/cdi/x.json").devices == {}
    except CesError as error:
        assert "/etc/cdi/x.json" in str(error)
