# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as files: what apptainer is told of them. No engine runs: see RecordingProcess."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from recording import DIGEST, REGISTRY, OneImageRegistry
from support import make_sif

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    InvalidValue,
    NotFound,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.services import pull as pulling
from ansible_collections.tre.ces.plugins.module_utils.ces.services.images import (
    list_images,
    remove_image,
)
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
    Credentials,
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


@pytest.mark.parametrize("name", ["my-own.sif", f"{DIGEST.replace(':', '-')}.sif"])
def test_a_file_of_ones_own_is_no_content_of_a_registry_whatever_its_name(site, name):
    file = make_sif(site.home / name)
    record = run_container(
        replace(SPEC, image=ImageFile(str(file)), args=("x",)), site.system
    ).record
    assert (record.digest, record.image_id) == (None, None)


def test_only_a_file_that_was_pulled_may_be_run_where_the_site_wants_that(site):
    site.system.policy = replace(site.system.policy, sif_files="pulled")
    own = ImageFile(str(make_sif(site.home / f"{DIGEST.replace(':', '-')}.sif")))
    with pytest.raises(RefusedByPolicy, match="it was not pulled from an allowed registry"):
        run_container(replace(SPEC, image=own, args=("x",)), site.system)
    assert site.process.told("apptainer --silent") == []
    link = site.home / "app:1.sif"
    link.symlink_to(pull(site).image.file)
    record = run_container(replace(SPEC, image=ImageFile(str(link))), site.system).record
    assert (record.digest, record.image_id) == (DIGEST, DIGEST.partition(":")[2])


def test_a_pull_that_fails_otherwise_is_not_tried_again_and_leaves_nothing(site):
    def fail(command, _streams):
        make_sif(Path(command.argv[-2]))
        return Finished(command.argv, 255, "", "FATAL: no such host\n")

    site.process.then("apptainer pull", fail)
    with pytest.raises(CesError, match="no such host"):
        pull(site)
    assert site.process.told("apptainer build") == []
    assert list(site.home.rglob("*sha256*")) == list(site.home.glob(".local/**/locks/sha256*"))


def test_what_a_killed_pull_left_half_done_goes_with_the_next(site):
    digests = site.home / ".local/share/ces/sif"
    digests.mkdir(parents=True)
    left = digests / f".{DIGEST.replace(':', '-')}.x.tmp"
    left.touch()
    (digests / ".other.x.tmp").touch()
    pull(site)
    assert not left.exists() and (digests / ".other.x.tmp").exists()


@pytest.mark.parametrize("version", ["1.3.9", "1.4.0"])
def test_a_login_goes_by_file_or_to_old_versions_by_environment(site, version):
    site.process.answer("apptainer --version", stdout=f"apptainer version {version}-1\n")
    spec = PullSpec(IMAGE, "apptainer", Credentials("ada", "s3cret"))
    pull_image(spec, site.system)
    (command,) = [c for c in site.process.commands if c.argv[:2] == ("apptainer", "pull")]
    by_file = any(word.startswith("--authfile=") for word in command.argv)
    by_environment = command.env.get("APPTAINER_DOCKER_PASSWORD") == "s3cret"
    assert (by_file, by_environment) == (version == "1.4.0", version == "1.3.9")
    assert "s3cret" not in " ".join(command.argv)


def test_planning_a_pull_says_the_command_and_runs_none(site):
    planned_pull = pull_image(PullSpec(IMAGE, "apptainer"), site.system, check_only=True)
    assert planned_pull.changed
    assert planned_pull.cmd[:2] == ("apptainer", "pull")
    assert f"{REGISTRY}/app@{DIGEST}" in planned_pull.cmd[-1]
    assert site.process.told("apptainer pull") == []


def test_a_file_goes_with_its_last_name(site):
    file = Path(pull(site).image.file)
    other = ImageRef.parse(f"{REGISTRY}/app:2")
    pull_image(PullSpec(other, "apptainer"), site.system)
    assert [image.names for image in list_images(site.system)] == [(NAME,), (str(other),)]
    remove_image(IMAGE, site.system)
    assert file.exists()
    assert [image.names for image in list_images(site.system)] == [(str(other),)]
    remove_image(other, site.system)
    assert not file.exists()
    with pytest.raises(NotFound):
        remove_image(other, site.system)


@pytest.mark.parametrize("name", ["discovery.type", "A-B", "HOME"])
def test_a_variable_that_apptainer_cannot_pass_on_is_refused(site, name):
    pull(site)
    with pytest.raises(InvalidValue, match=f"(?s){name}.*another name"):
        run_container(replace(SPEC, env={name: "s3cret"}), site.system)
