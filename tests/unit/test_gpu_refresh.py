# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the role gpu that makes specifications when they are not those of the host."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "roles/gpu/files/refresh.py"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program on a host below a directory, with NVIDIA's programs as scripts."""
    spec = importlib.util.spec_from_file_location("gpu_refresh", SOURCE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "STATE", tmp_path / "run/made-for")
    (tmp_path / "run").mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return module


def tool(place: Path, name: str, script: str) -> None:
    file = place / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def nvidia(place: Path, version: str = "550", made: str = '{"kind": "nvidia.com/gpu"}') -> None:
    tool(place, "nvidia-smi", f"echo {version}")
    tool(place, "nvidia-ctk", f"[ $1 = --version ] && echo 1.17 || echo '{made}'")


def test_it_is_made_once_and_again_when_the_driver_changes(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "etc/cdi/nvidia.json"
    nvidia(tmp_path)
    for wanted in (f"made {file}\n", ""):
        program.main([str(file)])
        assert capsys.readouterr().out == wanted
    assert oct(file.stat().st_mode)[-4:] == "0644"
    nvidia(tmp_path, "560")
    program.main(["--check", str(file)])
    assert capsys.readouterr().out == f"would make {file}\n"
    program.main([str(file)])
    assert capsys.readouterr().out == f"made {file}\n"


@pytest.mark.parametrize("damage", ["gone", "closed", "broken"])
def test_a_file_that_is_damaged_is_made_again(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    file = tmp_path / "etc/cdi/nvidia.json"
    nvidia(tmp_path)
    program.main([str(file)])
    if damage == "gone":
        file.unlink()
    elif damage == "closed":
        file.chmod(0o600)
    else:
        file.write_text("{")
    capsys.readouterr()
    program.main([str(file)])
    assert capsys.readouterr().out == f"made {file}\n"
    assert json.loads(file.read_text()) == {"kind": "nvidia.com/gpu"}
    assert oct(file.stat().st_mode)[-4:] == "0644"


def test_what_fails_leaves_the_file_as_it_is(program: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "etc/cdi/nvidia.json"
    nvidia(tmp_path)
    program.main([str(file)])
    before = file.read_text()
    tool(tmp_path, "nvidia-smi", "echo Driver/library version mismatch; exit 18")
    with pytest.raises(program.Failed, match=r"mismatch.*restarted"):
        program.main([str(file)])
    nvidia(tmp_path, "560", "no JSON")
    with pytest.raises(program.Failed, match="no JSON"):
        program.main([str(file)])
    assert file.read_text() == before
    assert [path.name for path in file.parent.iterdir()] == ["nvidia.json"]


def test_the_toolkits_unit_does_it_where_there_is_one(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nvidia.json"
    nvidia(tmp_path)
    tool(tmp_path, "systemctl", f"echo '{{}}' >{file}; chmod 600 {file}; echo $* >{tmp_path}/told")
    program.main([str(file), "nvidia-cdi-refresh.service"])
    assert (tmp_path / "told").read_text() == "start nvidia-cdi-refresh.service\n"
    assert oct(file.stat().st_mode)[-4:] == "0644"


def test_amds_cards_and_no_others(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, vendor in (
        ("renderD129", "0x1002"),
        ("renderD128", "0x8086"),
        ("renderD130", "0x1002"),
    ):
        device = tmp_path / "sys/class/drm" / name / "device"
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
    file = tmp_path / "nvidia.json"
    program.main([str(file)])
    assert capsys.readouterr().out == ""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    for wanted in (f"made {tmp_path}/amd.json\n", ""):
        program.main([str(file)])
        assert capsys.readouterr().out == wanted
    spec = json.loads((tmp_path / "amd.json").read_text())
    nodes = {
        one["name"]: [node["path"] for node in one["containerEdits"]["deviceNodes"]]
        for one in spec["devices"]
    }
    assert nodes == {
        "0": ["/dev/dri/renderD129"],
        "1": ["/dev/dri/renderD130"],
        "all": ["/dev/dri/renderD129", "/dev/dri/renderD130"],
    }
    assert spec["containerEdits"]["deviceNodes"] == [{"path": "/dev/kfd"}]
