# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers see the GPUs that are theirs and no others, under both engines alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import FIRST, LOOK, OLD, SECOND, SPEC, Machine, User
from engines import WITH_GPUS as RUNNERS
from remote import wait_until

pytestmark = pytest.mark.usefixtures("machine")
ZERO = ["/dev/nvidia0", f"FAKE_GPU_0=driver-{OLD}"]
ONE = ["/dev/nvidia1", f"FAKE_GPU_1=driver-{OLD}"]
BOTH = ["/dev/nvidia0", "/dev/nvidia1", "FAKE_GPU_ALL=1"]


@pytest.mark.parametrize("runner", RUNNERS)
def test_of_two_gpus_a_container_sees_the_one_that_its_job_was_given(
    alice: User, runner: str
) -> None:
    script = f"{LOOK}; echo x >/dev/nvidia$N && echo wrote"
    done = alice.run(
        f"srun --quiet --gres=gpu:1 sh -c 'echo N=$SLURM_STEP_GPUS >env;"
        f" ces-run {runner} --gpu --env-file env registry.tre.test:5000/tre/shell:1.0"
        f" \"$1\"' sh '{script}' </dev/null"
    ).ok()
    number = alice.run("cat env").out.strip()[-1]
    assert done.out.split() == [*(ZERO if number == "0" else ONE), "wrote"]


@pytest.mark.parametrize("runner", RUNNERS)
def test_two_jobs_side_by_side_see_different_ones(alice: User, runner: str) -> None:
    script = f"{LOOK}; sleep 6"
    body = f"#!/bin/sh\nces-run {runner} --gpu registry.tre.test:5000/tre/shell:1.0 '{script}'\n"
    jobs = [
        alice.run("sbatch --parsable --gres=gpu:1 --output=gpu-%j.log", body).ok().out.strip()
        for _number in range(2)
    ]
    logs = [f"gpu-{job}.log" for job in jobs]
    # both at once: neither has ended when the other has looked
    wait_until(lambda: alice.run(f"cat {' '.join(logs)}").out.count("FAKE_GPU") == 2, "both", 60)
    assert alice.run("squeue --noheader --states=RUNNING --format=%i").out.count("\n") == 2
    said = sorted(line for log in logs for line in alice.run(f"grep -h GPU {log}").out.split())
    assert said == [ZERO[1], ONE[1]]
    seen = sorted(alice.run(f"grep -h ^/dev/nvidia {' '.join(logs)}").out.split())
    assert seen == [ZERO[0], ONE[0]]
    wait_until(lambda: not alice.run("squeue --noheader").out, "the jobs to end", 40)


@pytest.mark.parametrize("runner", RUNNERS)
def test_who_asks_for_none_sees_none(alice: User, runner: str) -> None:
    assert alice.ces_run(runner).ok().out == ""
    assert alice.in_job("--gres=gpu:1", runner).ok().out == ""
    done = alice.in_job("", runner, "--gpu")
    assert done.rc == 125
    assert "Slurm gave job" in done.err
    assert "--gres=gpu:1" in done.err


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(
    ("asked", "options", "seen"),
    [
        ("--gres=gpu:2", ["--gpu"], [ZERO[0], ONE[0], ZERO[1], ONE[1]]),
        ("--gres=gpu:2", ["--gpus", "1"], ZERO),
    ],
)
def test_a_job_with_both_gives_both_or_as_many_as_are_asked_for(
    alice: User, runner: str, asked: str, options: list[str], seen: list[str]
) -> None:
    assert sorted(alice.in_job(asked, runner, *options).ok().out.split()) == sorted(seen)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(
    ("before", "options", "seen"),
    [
        ("", ["--gpu"], BOTH),
        ("", ["--gpus", "1"], ZERO),
        ("", ["--gpus=all"], BOTH),
        ("CUDA_VISIBLE_DEVICES=1", ["--gpu"], ONE),
        (f"CUDA_VISIBLE_DEVICES={SECOND}", ["--gpu"], ONE),
        (f"CUDA_VISIBLE_DEVICES={FIRST[:12]}", ["--gpu"], ZERO),
    ],
)
def test_outside_of_jobs_all_or_the_number_or_those_of_the_variable(
    alice: User, runner: str, before: str, options: list[str], seen: list[str]
) -> None:
    assert alice.ces_run(runner, *options, before=before).ok().out.split() == seen


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_other_doors_do_the_same(alice: User, runner: str, tmp_path: Path) -> None:
    image = "registry.tre.test:5000/tre/shell:1.0"
    done = alice.run(f"ces-gpu-run {runner} {image} '{LOOK}'").ok()
    assert done.out.split() == BOTH
    for gpu, seen, names in ((True, BOTH, ["all"]), (1, ZERO, ["0"]), (False, [], None)):
        answer = alice.module(tmp_path, image=image, runner=runner, args=[LOOK], gpu=gpu)
        assert answer["stdout"].split() == seen, answer
        given = answer["resources"].get("gpus")
        assert given == (names and [f"nvidia.com/gpu={name}" for name in names])
    answer = alice.module(tmp_path, image=image, runner=runner, args=[LOOK], gpu="some")
    assert "neither true nor a number" in answer["msg"]
    answer = alice.module(
        tmp_path, image=image, runner=runner, args=[LOOK], gpu=2, scheduler="slurm"
    )
    assert answer["stdout"].split()[:2] == ["/dev/nvidia0", "/dev/nvidia1"]


def test_the_library_is_where_programs_look_for_it(alice: User) -> None:
    script = "ls /.singularity.d/libs; ls /usr/bin/nvidia-smi"
    assert alice.ces_run("apptainer", "--gpu", script=script).ok().out.split() == [
        "libcuda.so.1",
        f"libcuda.so.{OLD}",
        "/usr/bin/nvidia-smi",
    ]
    script = "ls /usr/lib/x86_64-linux-gnu; ls /usr/bin/nvidia-smi"
    assert f"libcuda.so.{OLD}" in alice.ces_run("podman", "--gpu", script=script).ok().out


@pytest.mark.parametrize("runner", RUNNERS)
def test_more_than_there_are_is_refused(alice: User, runner: str) -> None:
    done = alice.ces_run(runner, "--gpus", "3")
    assert done.rc == 125
    assert "give the container 3 GPUs" in done.err
    assert "this host has 2" in done.err


# --- specifications that are wrong, or several ---


@contextmanager
def instead(machine: Machine, file: str, text: str, mode: str = "0644") -> Iterator[None]:
    """While in the block another text is in a file; afterwards what was there before."""
    before = machine.host.run("root", f"cat {file}")
    machine.host.root(f"mkdir -p $(dirname {file}); cat >{file}; chmod {mode} {file}", text)
    try:
        yield
    finally:
        if before.rc == 0:
            machine.host.root(f"cat >{file}; chmod 0644 {file}", before.out)
        else:
            machine.host.root(f"rm {file}")


def spec_of(*names: str, **edits: Any) -> str:
    devices = [{"name": n, "containerEdits": {"env": [f"FAKE_GPU_{n}=x"], **edits}} for n in names]
    return json.dumps({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices})


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_stale_specification_is_an_error_that_says_so(
    alice: User, machine: Machine, runner: str
) -> None:
    done = alice.ces_run(runner, "--gpu", before="CUDA_VISIBLE_DEVICES=7")
    assert done.rc == 125
    for part in ("stale", SPEC, "nvidia.com/gpu=7", "systemctl start tre-ces-gpu-refresh.service"):
        assert part in done.err
    with instead(machine, SPEC, machine.spec().replace(f"so.{OLD}", "so.535.1.2")):
        done = alice.ces_run(runner, "--gpu")
        assert done.rc == 125
        assert "libcuda.so.535.1.2, which is not there" in done.err
    assert alice.ces_run(runner, "--gpu").ok().out.split() == BOTH


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_specification_that_users_cannot_read(
    alice: User, machine: Machine, runner: str, tmp_path: Path
) -> None:
    with instead(machine, SPEC, machine.spec(), "0600"):
        done = alice.ces_run(runner, "--gpu")
        assert done.rc == 125
        assert f"{SPEC}: Permission denied" in done.err
        findings = alice.module(tmp_path, "gpu_info")["findings"]
    wrong = {one["check"]: one for one in findings if not one["ok"]}
    assert "chmod 0644" in wrong["spec_readable"]["hint"]


@pytest.mark.parametrize("runner", RUNNERS)
def test_several_specifications(alice: User, machine: Machine, runner: str) -> None:
    with instead(machine, "/var/run/cdi/more.json", spec_of("1", "5")):
        done = alice.ces_run(runner, "--gpu", before="CUDA_VISIBLE_DEVICES=5")
        assert done.ok().out.split() == ["FAKE_GPU_5=x"]
        # of two alike the one of the later directory counts
        done = alice.ces_run(runner, "--gpu", before="CUDA_VISIBLE_DEVICES=1")
        assert done.ok().out.split() == ["FAKE_GPU_1=x"]
        done = alice.ces_run(runner, "--gpu", before="CUDA_VISIBLE_DEVICES=0")
        assert done.ok().out.split() == ZERO
    with instead(machine, "/etc/cdi/more.json", spec_of("1")):
        done = alice.ces_run(runner, "--gpu")
        assert (done.rc, "/etc/cdi/more.json and" in done.err) == (125, True)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_specification_in_yaml_and_one_that_is_broken(
    alice: User, machine: Machine, runner: str
) -> None:
    text = (
        "---\ncdiVersion: 0.5.0\ncontainerEdits: {}\ndevices:\n- containerEdits:\n"
        "    deviceNodes:\n    - path: /dev/nvidia1\n    env:\n    - FAKE_GPU_8=yaml\n"
        '  name: "8"\nkind: nvidia.com/gpu\n'
    )
    with instead(machine, "/etc/cdi/more.yaml", text):
        done = alice.ces_run(runner, "--gpu", before="CUDA_VISIBLE_DEVICES=8")
        assert done.ok().out.split() == ["/dev/nvidia1", "FAKE_GPU_8=yaml"]
    with instead(machine, "/etc/cdi/more.json", "{"):
        done = alice.ces_run(runner, "--gpu", before="CUDA_VISIBLE_DEVICES=0")
        assert done.ok().out.split() == ZERO


# --- updates ---


def test_after_an_update_of_the_driver_the_unit_makes_a_new_specification(
    alice: User, machine: Machine, tmp_path: Path
) -> None:
    machine.becomes("560.35.03", "two")
    try:
        for runner in RUNNERS:
            done = alice.ces_run(runner, "--gpus", "1").ok()
            assert done.out.split() == ["/dev/nvidia0", "FAKE_GPU_0=driver-560.35.03"]
        assert machine.host.root(f"stat -c '%a %U' {SPEC}") == "644 root\n"
        findings = alice.module(tmp_path, "gpu_info")["findings"]
        assert [one for one in findings if not one["ok"]] == []
    finally:
        machine.becomes(OLD, "two")


def test_a_driver_that_is_not_loaded_yet_leaves_the_specification_and_is_told_of(
    alice: User, machine: Machine
) -> None:
    before = machine.spec()
    machine.set_gpus("570.1.1", "two", "not-loaded")
    try:
        done = machine.host.run("root", "/usr/local/lib/tre-ces-gpu/refresh /etc/cdi/nvidia.json")
        assert done.rc == 1
        assert "Driver/library version mismatch" in done.err
        assert "restarted" in done.err
        assert machine.spec() == before
        done = alice.ces_run("podman", "--gpu")
        assert (done.rc, "stale" in done.err) == (125, True)
    finally:
        machine.becomes(OLD, "two")


def test_the_specification_is_made_at_boot(machine: Machine) -> None:
    machine.host.root(f"rm {SPEC}")
    assert machine.host.root("systemctl is-enabled tre-ces-gpu-refresh.service") == "enabled\n"
    machine.host.root("systemctl start tre-ces-gpu-refresh.service")
    assert f"libcuda.so.{OLD}" in machine.spec()


def test_a_divided_gpu(alice: User, machine: Machine, tmp_path: Path) -> None:
    """Instances by name and by number, once the layout has changed and the unit has noticed."""
    machine.becomes(OLD, "divided")
    instance = "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"
    files = [f"/dev/nvidia-caps/nvidia-cap{number}" for number in (30, 31)]
    seen = sorted([*files, "/dev/nvidia0", f"FAKE_GPU_0_1=driver-{OLD}"])
    try:
        for runner in RUNNERS:
            for name in (instance, "0:1"):
                done = alice.ces_run(runner, "--gpu", before=f"CUDA_VISIBLE_DEVICES={name}")
                assert sorted(done.ok().out.split()) == seen
            # in a job, instances count as GPUs do
            before = "SLURM_JOB_ID=1 SLURMD_NODENAME=x SLURM_JOB_GPUS=1"
            assert sorted(alice.ces_run(runner, "--gpu", before=before).ok().out.split()) == seen
            done = alice.ces_run(runner, "--gpu", before="CUDA_VISIBLE_DEVICES=0")
            assert (done.rc, "stale" in done.err) == (125, True)
        gres = alice.module(tmp_path, "gpu_info")["gres"]
        assert gres == [
            {
                "name": "gpu",
                "type": "3g.20gb",
                "multiple_files": [
                    "/dev/nvidia0",
                    *(f"/dev/nvidia-caps/nvidia-cap{n}" for n in caps),
                ],
            }
            for caps in ((21, 22), (30, 31))
        ] + [{"name": "gpu", "type": "a100-sxm4-40gb", "files": ["/dev/nvidia1"]}]
    finally:
        machine.becomes(OLD, "two")


# --- what the role has left ---


def test_the_device_files_are_the_groups(alice: User, machine: Machine) -> None:
    said = machine.host.root("stat -c '%a %G' /dev/nvidia0 /dev/nvidiactl /dev/nvidia-uvm")
    assert said == "660 video\n" * 3
    assert "video" in alice.run("id -nG").out.split()
    # and of those that the driver makes when it is loaded
    options = machine.host.root("cat /etc/modprobe.d/tre-ces-gpu-devices.conf")
    number = machine.host.root("getent group video").split(":")[2]
    assert f"NVreg_DeviceFileMode=0660 NVreg_DeviceFileGID={number}" in options


def test_what_was_there_before_cdi_is_gone(machine: Machine) -> None:
    for file in ("/usr/share/containers/oci/hooks.d/oci-nvidia-hook.json", "/etc/cdi/nvidia.yaml"):
        assert machine.host.run("root", f"ls {file}").rc != 0


def test_the_checks_find_nothing_wrong(alice: User, tmp_path: Path) -> None:
    answer = alice.module(tmp_path, "gpu_info")
    assert (answer["kind"], answer["driver"]) == ("nvidia.com/gpu", OLD)
    assert {one["check"] for one in answer["findings"] if not one["ok"]} == set()
    assert len(answer["findings"]) == 9
    assert [device["names"] for device in answer["devices"]] == [["0", FIRST], ["1", SECOND]]
