# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as files: what apptainer is told of them. No engine runs: see RecordingProcess."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from recording import REGISTRY, OneImageRegistry
from support import make_sif

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, InvalidValue
from ansible_collections.tre.ces.plugins.module_utils.ces.runners.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.services import pull as pulling
from ansible_collections.tre.ces.plugins.module_utils.ces.services.images import list_images
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
    Directories,
    PullSpec,
    RunSpec,
)

NAME = f"{REGISTRY}/app:1"
IMAGE = ImageRef.parse(NAME)
SPEC = RunSpec(IMAGE, "apptainer")
TREE = (Path(__file__).parents[1] / "samples/sif/tree.squashfs").read_bytes()
RUN = "apptainer --silent exec --containall --no-eval --writable-tmpfs"
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
    backend.steps = {"pull": convert}
    backend.process.then(
        "apptainer --silent exec --containall --no-eval --no-mount",
        lambda command, streams: backend.steps[inside(command)[1]](command, streams),
    )
    backend.process.answer("apptainer --version", stdout="apptainer version 1.4.5\n")
    return backend


def inside(command):
    """The words of a command that is run in a container for a conversion."""
    (root,) = (at for at, word in enumerate(command.argv) if word.endswith("/root"))
    return command.argv[root + 1 :]


def pull(site):
    return pull_image(PullSpec(IMAGE, "apptainer"), site.system)


def test_an_image_that_is_closed_to_its_owner_is_opened(site):
    closed = "FATAL: packer failed: open /tmp/x/rootfs/etc/hosts: permission denied"
    site.steps["pull"] = lambda command, _streams: Finished(command.argv, 255, stderr=closed)
    site.steps["build"] = site.convert
    pulled = pull(site)
    words = inside(Command(pulled.cmd))
    assert words[1:4] == ("build", "--fix-perms", "--disable-cache")
    assert pulled.image is not None


def test_a_conversion_may_write_where_it_works_and_sees_no_home(site):
    pulled = pull(site)
    mounts = [word for word in pulled.cmd if word.startswith("--mount=")]
    written = [word for word in mounts if not word.endswith(",ro")]
    work, made = (word.partition("dst=")[2] for word in written)
    assert os.path.basename(work) == "tmp"
    assert os.path.dirname(made) == f"{site.home}/.local/share/ces/sif"
    assert os.path.dirname(pulled.cmd[-2]) == made
    assert not os.path.exists(work)
    assert not os.path.exists(made)
    (command,) = [c for c in site.process.commands if c.argv == pulled.cmd]
    assert command.env["APPTAINERENV_APPTAINER_TMPDIR"] == work
    shown = {word.partition("dst=")[2].removesuffix(",ro") for word in mounts} - {work, made}
    assert {"/usr", "/etc", "/etc/passwd"} <= shown
    # apptainer is in PLACE/bin here
    assert {path for path in shown if f"{site.home}/".startswith(f"{path}/")} == {str(site.place)}


def test_a_conversion_reads_what_its_user_trusts_and_nothing_relative(site, tmp_path):
    bundle = tmp_path / "trust.pem"
    bundle.touch()
    site.system.account.environ.update(SSL_CERT_FILE=str(bundle), SSL_CERT_DIR="certs:/nowhere")
    pulled = pull(site)
    (command,) = [c for c in site.process.commands if c.argv == pulled.cmd]
    assert command.env["APPTAINERENV_SSL_CERT_FILE"] == str(bundle)
    assert f"--mount=type=bind,src={bundle},dst={bundle},ro" in pulled.cmd
    assert not [word for word in pulled.cmd if "certs" in word or "nowhere" in word]


def test_what_apptainer_made_must_be_a_file_and_no_link_to_one(site, tmp_path):
    def linked(command, _streams):
        secret = make_sif(tmp_path / "elsewhere.sif", site.config)
        secret.chmod(0o600)
        os.symlink(secret, command.argv[-2])
        return Finished(command.argv, 0)

    site.steps["pull"] = linked
    with pytest.raises(CesError, match="keep image"):
        pull(site)
    assert (tmp_path / "elsewhere.sif").stat().st_mode & 0o777 == 0o600


def test_a_run_is_told_what_the_image_says_of_itself(site):
    pull(site)
    ran = run_container(replace(SPEC, args=("x",)), site.system)
    (command,) = [c for c in site.process.commands if " ".join(c.argv).startswith(RUN)]
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
    (argv,) = site.process.told(RUN)
    places = [word for word in argv if word.startswith(("--cwd", "--scratch"))]
    assert places == ["--scratch=/work", "--scratch=/a/data", "--cwd=/work"]


def test_directories_below_new_outputs_and_scratch_are_made_there(site):
    site.files = TREE
    volumes = {"/scratch/v": {}, "/safe_outputs/../x": {}}
    site.config |= {"WorkingDir": "/safe_outputs/a/b", "Volumes": volumes}
    pull(site)
    found = []

    def look(command, _streams):
        words = [word for word in command.argv if word.startswith("--mount=")]
        places = {w.rpartition("dst=")[2]: w.partition("src=")[2].partition(",")[0] for w in words}
        outputs, scratch = (Path(places[name]) for name in ("/safe_outputs", "/scratch"))
        found.append(((outputs / "a/b").is_dir(), (scratch / "v").is_dir()))
        return Finished(command.argv, 0)

    site.process.then(RUN, look)
    run_container(SPEC, site.system)
    kept = Path(site.system.account.home, "kept")
    (kept / "a").mkdir(parents=True)
    site.process.then(RUN, look)
    run_container(replace(SPEC, directories=Directories(outputs=str(kept))), site.system)
    assert found == [(True, True), (False, True)]


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
    assert site.process.told(RUN) == []
    assert site.system.records.expected_number() == 1
    run_container(replace(SPEC, args=("id",)), site.system)
    assert len(site.process.told(RUN)) == 1


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


def test_a_damaged_file_is_fetched_again_and_hides_no_other_image(site):
    other = replace(IMAGE, tag="2")
    pull(site)
    pull_image(PullSpec(other, "apptainer"), site.system)
    (file,) = site.home.glob(".local/share/ces/sif/digests/*.sif")
    whole = file.read_bytes()
    file.write_text("cut short")
    site.said.clear()
    assert list_images(site.system, "apptainer") == []
    assert len([line for line in site.said if "warning: could not use the image" in line]) == 1
    with pytest.raises(CesError, match=r"it is no SIF file\. pull the image again"):
        run_container(SPEC, site.system)
    assert pull(site).changed
    assert file.read_bytes() == whole
