# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as files: what apptainer is told of them. No engine runs: see RecordingProcess."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from recording import REGISTRY, OneImageRegistry
from support import make_sif

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, InvalidValue
from ansible_collections.tre.ces.plugins.module_utils.ces.services import pull as pulling
from ansible_collections.tre.ces.plugins.module_utils.ces.services.pull import pull_image
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import (
    planned,
    run_container,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import (
    ImageFile,
    ImageRef,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    PullSpec,
    RunSpec,
)

NAME = f"{REGISTRY}/app:1"
IMAGE = ImageRef.parse(NAME)
SPEC = RunSpec(IMAGE, "apptainer")
TREE = (Path(__file__).parents[1] / "samples/sif/tree.squashfs").read_bytes()
IDLE = {"Env": ["PATH=/bin"], "Entrypoint": None, "Cmd": []}


@pytest.fixture
def site(backend, monkeypatch):
    """A registry with one image, whose configuration is ``backend.config``."""

    def convert(command, _streams):
        make_sif(Path(command.argv[-2]), backend.config, files=backend.files)
        return Finished(command.argv, 0)

    monkeypatch.setattr(pulling, "Registry", OneImageRegistry)
    policy = backend.system.policy
    backend.system.policy = replace(policy, runners=("apptainer",), sif_files="any")
    backend.config = {"Entrypoint": ["app"], "Cmd": ["-a"], "Env": ["A=x", "A=$y", "a.b=c"]}
    backend.files = b"none"
    backend.convert = convert
    backend.process.then("apptainer pull", convert)
    backend.process.answer("apptainer --version", stdout="apptainer version 1.4.5\n")
    return backend


def pull(site):
    return pull_image(PullSpec(IMAGE, "apptainer"), site.system)


def test_an_image_that_is_closed_to_its_owner_is_opened(site):
    closed = "FATAL: packer failed: open /tmp/x/rootfs/etc/hosts: permission denied"
    site.process.answer("apptainer pull", 255, stderr=closed)
    site.process.then("apptainer build", site.convert)
    pulled = pull(site)
    assert pulled.cmd[:4] == ("apptainer", "build", "--fix-perms", "--disable-cache")
    assert pulled.image is not None


def test_a_run_is_told_what_the_image_says_of_itself(site):
    pull(site)
    ran = run_container(replace(SPEC, args=("x",)), site.system)
    (command,) = [c for c in site.process.commands if "exec" in c.argv]
    assert command.argv[-3:] == (ran.record.command[-3], "app", "x")
    assert command.env["APPTAINERENV_A"] == "$y"
    assert "APPTAINERENV_a.b" not in command.env
    (warning,) = ran.record.warnings
    assert "a.b" in warning
    assert f"warning: {warning}" in site.said


def test_a_run_starts_where_the_image_says_if_that_can_be_seen(site):
    site.files = TREE
    site.config |= {"WorkingDir": "/work", "Volumes": {"/a/data": {}, "/abs/b": {}}}
    pull(site)
    run_container(SPEC, site.system)
    (argv,) = site.process.told("apptainer --silent exec")
    places = [word for word in argv if word.startswith(("--cwd", "--scratch"))]
    assert places == ["--scratch=/work", "--scratch=/a/data", "--cwd=/work"]


def test_the_signal_that_the_image_names_ends_it(site):
    site.config["StopSignal"] = "SIGUSR1"
    pull(site)
    signals = []

    def look(command, streams):
        signals.append(streams.stop_signal)
        return Finished(command.argv, 0)

    site.process.then("apptainer --silent exec", look)
    run_container(SPEC, site.system)
    assert signals == [signal.SIGUSR1]


def test_an_image_that_does_not_say_what_to_run_is_refused_before_it_has_a_number(site):
    site.config = IDLE
    pull(site)
    assert [line for line in site.said if "does not say what to run" in line]
    for run in (run_container, planned):
        with pytest.raises(CesError, match=f"run {NAME}.*no ENTRYPOINT and no CMD.*arguments"):
            run(SPEC, site.system)
    assert site.process.told("apptainer --silent") == []
    assert site.system.records.expected_number() == 1
    run_container(replace(SPEC, args=("id",)), site.system)
    assert len(site.process.told("apptainer --silent exec")) == 1


def test_an_image_from_no_registry_is_run_as_it_says_itself(site):
    file = make_sif(site.home / "own.sif")
    run_container(replace(SPEC, image=ImageFile(str(file)), args=("x",)), site.system)
    (argv,) = site.process.told("apptainer --silent run")
    assert argv[-2:] == (str(file), "x")
    assert not [word for word in argv if word.startswith("--cwd")]


@pytest.mark.parametrize("name", ["discovery.type", "A-B", "HOME"])
def test_a_variable_that_apptainer_cannot_pass_on_is_refused(site, name):
    pull(site)
    with pytest.raises(InvalidValue, match=f"(?s){name}.*another name"):
        run_container(replace(SPEC, env={name: "s3cret"}), site.system)
