# SPDX-License-Identifier: GPL-3.0-or-later
"""Which GPUs a run gets on a host, from the files that are there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from recording import BackEnd, make_backend
from support import as_ordinary_user

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.runner import Runner
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import known_runners
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system import cdi
from ansible_collections.tre.ces.plugins.module_utils.ces.system.allocation import Allocation
from ansible_collections.tre.ces.plugins.module_utils.ces.system.gpu import gpus_for
from ansible_collections.tre.ces.plugins.module_utils.ces.values.gpus import Gpus

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "gpu"
RUNNERS = known_runners()
PODMAN, APPTAINER = RUNNERS["podman"], RUNNERS["apptainer"]


@pytest.fixture(autouse=True)
def of_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests write specifications as whoever they are."""
    monkeypatch.setattr(cdi, "OWNERS", range(2**32))


@pytest.fixture
def backend(tmp_path: Path) -> BackEnd:
    return make_backend(tmp_path)


def write(backend: BackEnd, path: str, text: str = "") -> str:
    """A file of the host."""
    file = backend.place / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return str(file)


def spec(*names: str, kind: str = "nvidia.com/gpu", **edits: object) -> str:
    devices = [{"name": n, "containerEdits": {"env": [f"GPU{n}=x"], **edits}} for n in names]
    return json.dumps({"cdiVersion": "0.5.0", "kind": kind, "devices": devices})


def found(
    backend: BackEnd,
    count: int | None = None,
    runner: Runner = PODMAN,
    job: str | None = None,
    **variables: str,
) -> Gpus:
    account = backend.system.account
    environ = {**account.environ, **variables}
    allocation = Allocation(job, job) if job else None
    system = replace(
        backend.system, account=replace(account, environ=environ), allocation=allocation
    )
    return gpus_for(count, system, runner, str(backend.place))


def test_the_later_directory_counts(backend: BackEnd) -> None:
    write(backend, "etc/cdi/nvidia.json", spec("0", "9"))
    later = write(backend, "var/run/cdi/nvidia.json", spec("0", "1"))
    here = cdi.installed(backend.system.account, str(backend.place))
    assert [(s.file == later, sorted(s.devices)) for s in here.specs] == [
        (False, ["9"]),
        (True, ["0", "1"]),
    ]


def test_two_of_one_name_in_one_directory_are_refused_as_engines_refuse_them(
    backend: BackEnd,
) -> None:
    write(backend, "etc/cdi/a.json", spec("0"))
    write(backend, "etc/cdi/b.json", spec("0", "1"))
    with pytest.raises(CesError, match=r"both .*/a\.json and .*/b\.json have it"):
        found(backend)


@pytest.mark.parametrize(
    "where", ["etc/containers/containers.conf", "etc/containers/containers.conf.d/9.conf"]
)
def test_the_directories_are_those_that_podman_is_told(backend: BackEnd, where: str) -> None:
    write(
        backend, where, '[engine]\n# cdi_spec_dirs = ["/no"]\ncdi_spec_dirs = [\n "/opt/cdi",\n]\n'
    )
    write(backend, "etc/cdi/nvidia.json", spec("0"))
    write(backend, "opt/cdi/nvidia.json", spec("5"))
    assert found(backend).devices == ("nvidia.com/gpu=5",)


def test_the_users_own_containers_conf_wins(backend: BackEnd) -> None:
    write(backend, "etc/containers/containers.conf", '[engine]\ncdi_spec_dirs = ["/a"]\n')
    write(backend, "home/.config/containers/containers.conf", '[engine]\ncdi_spec_dirs = ["/b"]\n')
    assert cdi.cdi_directories(backend.system.account, str(backend.place)) == ["/b"]


def test_a_specification_that_others_than_root_may_write_is_refused(
    backend: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(backend, "opt/cdi/nvidia.json", spec("0"))
    write(
        backend,
        "home/.config/containers/containers.conf",
        '["engine"]\n"cdi_spec_dirs" = ["/opt/cdi"]\n',
    )
    assert found(backend).names == ("0",)
    os.chmod(file, 0o664)
    with pytest.raises(RefusedByPolicy, match="others than root may write it"):
        found(backend)
    os.chmod(file, 0o644)
    monkeypatch.setattr(cdi, "OWNERS", ())
    with pytest.raises(RefusedByPolicy, match=r"/opt/cdi: others"):
        found(backend)


def test_yaml_as_the_toolkit_writes_it_is_read(backend: BackEnd) -> None:
    text = (SAMPLES / "two-gpus.yaml.txt").read_text()
    write(
        backend, "etc/cdi/nvidia.yaml", text.replace("path: /dev/", f"path: {backend.place}/dev/")
    )
    with pytest.raises(CesError, match=r"is stale: .*nvidia\.yaml names .*not there"):
        found(backend)
    here = cdi.installed(backend.system.account, str(backend.place))
    assert "GPU-8f6e1c1e-2a3b-4c5d-9e7f-0a1b2c3d4e5f" in here.specs[0].devices


def test_a_job_gets_its_own_and_a_user_outside_those_of_the_variable_or_all(
    backend: BackEnd,
) -> None:
    write(backend, "etc/cdi/nvidia.json", spec("0", "1", "all"))
    assert found(backend).names == ("all",)
    assert found(backend, count=1).names == ("0",)
    assert found(backend, CUDA_VISIBLE_DEVICES="1").names == ("1",)
    assert found(backend, job="7", SLURM_JOB_GPUS="1", CUDA_VISIBLE_DEVICES="0").names == ("1",)
    with pytest.raises(CesError, match="Slurm gave job 7 none"):
        found(backend, job="7")
    with pytest.raises(CesError, match="CUDA_VISIBLE_DEVICES says that you may use none"):
        found(backend, CUDA_VISIBLE_DEVICES="")


def test_uuids_that_no_specification_has_are_asked_of_the_driver(backend: BackEnd) -> None:
    write(backend, "bin/nvidia-smi")
    (backend.place / "bin/nvidia-smi").chmod(0o755)
    backend.process.answer("nvidia-smi -L", stdout=(SAMPLES / "list.txt").read_text())
    write(backend, "etc/cdi/nvidia.json", spec("0", "1"))
    uuid = "GPU-3d0a7b52-91c4-4e0a-8d55-5b6c7d8e9f00"
    assert found(backend, job="7", CUDA_VISIBLE_DEVICES=uuid).names == ("1",)
    found(backend, job="7", SLURM_JOB_GPUS="1")
    assert len(backend.process.told("nvidia-smi")) == 1


def test_without_a_specification_podman_cannot_and_apptainer_looks_itself(backend: BackEnd) -> None:
    with pytest.raises(CesError, match="no CDI specification of a GPU in /etc/cdi, /var/run/cdi"):
        found(backend)
    with pytest.raises(CesError, match="neither /dev/nvidiactl nor /dev/kfd"):
        found(backend, runner=APPTAINER)
    write(backend, "dev/kfd")
    assert found(backend, runner=APPTAINER).kind == "amd.com/gpu"
    write(backend, "dev/nvidiactl")
    answer = found(backend, runner=APPTAINER, job="7", SLURM_JOB_GPUS="1")
    assert (answer.kind, answer.names, answer.edits) == ("nvidia.com/gpu", ("1",), None)
    job: dict[str, Any] = {"SLURM_JOB_GPUS": "1", "CUDA_VISIBLE_DEVICES": "0"}
    assert found(backend, runner=APPTAINER, job="7", **job).names == ("0",)


def test_of_two_kinds_the_variables_say_which(backend: BackEnd) -> None:
    write(backend, "etc/cdi/nvidia.json", spec("0"))
    write(backend, "etc/cdi/amd.json", spec("0", kind="amd.com/gpu"))
    assert found(backend).devices == ("nvidia.com/gpu=0",)
    assert found(backend, ROCR_VISIBLE_DEVICES="0").devices == ("amd.com/gpu=0",)


def test_libraries_have_all_their_names_for_engines_that_run_no_hooks(backend: BackEnd) -> None:
    library = write(backend, "usr/lib/libcuda.so.550.54.14")
    for link in ("libcuda.so.1", "libcuda.so"):
        (backend.place / "usr/lib" / link).symlink_to("libcuda.so.550.54.14")
    write(backend, "usr/lib/libother.so.1")
    mounts = [{"hostPath": "/usr/lib/libcuda.so.550.54.14", "containerPath": library}]
    write(backend, "etc/cdi/nvidia.json", spec("0", mounts=mounts))
    names = [Path(name).name for name in found(backend, runner=APPTAINER).libraries]
    assert names == ["libcuda.so", "libcuda.so.1", "libcuda.so.550.54.14"]
    assert found(backend).libraries == ()
    (backend.place / "usr/lib/libcuda.so.550.54.14").unlink()
    for runner in (PODMAN, APPTAINER):
        with pytest.raises(CesError, match=r"is stale: .* names /usr/lib/libcuda.*systemctl start"):
            found(backend, runner=runner)


def test_files_that_a_user_may_not_read_or_use_are_named() -> None:
    as_ordinary_user(_closed_files)


def _closed_files(place: Path) -> None:
    backend = make_backend(place)
    file = Path(write(backend, "etc/cdi/nvidia.json", spec("0")))
    file.chmod(0)
    for runner in (PODMAN, APPTAINER):
        with pytest.raises(CesError, match=r"could not be read: .*nvidia\.json: Permission denied"):
            found(backend, runner=runner)
    write(backend, "etc/cdi/other.json", spec("1"))
    with pytest.raises(CesError, match=r"stale: .*=0 .*; and not read was .*nvidia\.json"):
        found(backend, CUDA_VISIBLE_DEVICES="0")
    device = Path(write(backend, "dev/nvidia7"))
    device.chmod(0)
    write(backend, "etc/cdi/other.json", spec("7", deviceNodes=[{"path": "/dev/nvidia7"}]))
    with pytest.raises(CesError, match=r"you may not use /dev/nvidia7.*gpu_device_mode"):
        found(backend)
    # what displays need is root's and the group's of who sits there; rights to instances are read
    for name, mode in (("dev/dri/card1", 0o600), ("dev/nvidia-caps/nvidia-cap21", 0o444)):
        Path(write(backend, name)).chmod(mode)
    Path(place / "dev/dri/card1").chmod(0)
    nodes = [{"path": "/dev/dri/card1"}, {"path": "/dev/nvidia-caps/nvidia-cap21"}]
    write(backend, "etc/cdi/other.json", spec("7", deviceNodes=nodes))
    assert found(backend).names == ("7",)
