# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as files: what apptainer is told of them. No engine runs: see RecordingProcess."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from recording import DIGEST, REGISTRY, Answer, BackEnd, OneImageRegistry
from support import make_sif, there

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
from ansible_collections.tre.ces.plugins.module_utils.ces.services.pull import Pulled, pull_image
from ansible_collections.tre.ces.plugins.module_utils.ces.services.run import (
    planned,
    run_container,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import Finished, Streams
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import (
    ImageFile,
    ImageRef,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.resources import Limits
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Credentials,
    Directories,
    PullSpec,
    RunSpec,
)

NAME = f"{REGISTRY}/app:1"
IMAGE = ImageRef.parse(NAME)
SPEC = RunSpec(IMAGE, "apptainer")
TREE = (Path(__file__).parents[1] / "samples/sif/tree.squashfs").read_bytes()
CONVERSION = "apptainer --silent exec --containall --no-eval --no-mount"
RUN = "apptainer --silent exec --containall --no-eval --writable-tmpfs"
IDLE = {"Env": ["PATH=/bin"], "Entrypoint": None, "Cmd": []}


@dataclass
class Site(BackEnd):
    """A registry with one image.

    :param config: what the image says of itself.
    :param content: its file system.
    :param steps: what apptainer does: ``build``, and ``--fix-perms`` if it opens files.
    """

    config: dict[str, Any] = field(default_factory=dict)
    content: bytes = b"none"
    steps: dict[str, Answer] = field(default_factory=dict)

    def convert(self, command: Command, _streams: Streams) -> Finished:
        """Make the image file."""
        make_sif(Path(command.argv[-2]), self.config, files=self.content)
        return Finished(command.argv, 0)


@pytest.fixture
def site(backend: BackEnd, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(pulling, "registry_here", OneImageRegistry)
    policy = backend.system.policy
    backend.system.policy = replace(policy, runners=("apptainer",), sif_files="any")
    config = {"Entrypoint": ["app"], "Cmd": ["-a"], "Env": ["A=x", "A=$y", "a.b=c"]}
    site = Site(**vars(backend), config=config)
    site.steps["build"] = site.convert

    def step(command: Command, streams: Streams) -> Finished:
        words = inside(command)
        return site.steps["--fix-perms" if "--fix-perms" in words else words[1]](command, streams)

    site.process.then(CONVERSION, step)
    site.process.answer("apptainer --version", stdout="apptainer version 1.4.5\n")
    return site


def inside(command: Command) -> tuple[str, ...]:
    """The words of a command that is run in a container for a conversion."""
    (root,) = (at for at, word in enumerate(command.argv) if word.endswith("/root"))
    return command.argv[root + 1 :]


def pull(site: Site) -> Pulled:
    return pull_image(PullSpec(IMAGE, "apptainer"), site.system)


def test_planning_a_run_makes_nothing_at_all(site: Site) -> None:
    before = sorted(site.place.rglob("*"))
    planned(SPEC, site.system)
    assert sorted(site.place.rglob("*")) == before


def test_an_image_that_is_closed_to_its_owner_is_opened(site: Site) -> None:
    closed = "FATAL: packer failed: open /tmp/x/rootfs/etc/hosts: permission denied"
    site.steps["build"] = lambda command, _streams: Finished(command.argv, 255, stderr=closed)
    site.steps["--fix-perms"] = site.convert
    pulled = pull(site)
    words = inside(Command(tuple(pulled.cmd)))
    assert words[1:4] == ("build", "--disable-cache", "--fix-perms")
    assert pulled.image is not None


def packed(site: Site) -> list[str]:
    """What mksquashfs is told."""
    given = [word for word in pull(site).cmd if word.startswith("--mksquashfs-args=")]
    return given[0].partition("=")[2].split() if given else []


def test_an_image_is_packed_fast_on_the_processors_and_in_the_memory_of_the_site(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(64)))
    quickly = ["-comp", "zstd", "-Xcompression-level", "3", "-noI"]
    assert packed(site) == [*quickly, "-mem", "256M", "-processors", "64"]
    policy = site.system.policy
    small = replace(policy, cpus=Limits(maximum=2.5), memory=Limits(maximum=100 * 2**20))
    site.system.policy = replace(small, sif_compression="gzip")
    remove_image(IMAGE, site.system)
    quickly = ["-comp", "gzip", "-Xcompression-level", "1", "-noI"]
    assert packed(site) == [*quickly, "-mem", "100M", "-processors", "2"]


def test_an_earlier_apptainer_packs_as_it_does(site: Site) -> None:
    site.process.answer("apptainer --version", stdout="apptainer version 1.3.6\n")
    assert packed(site) == []


def test_a_conversion_may_write_where_it_works_and_sees_no_home(site: Site) -> None:
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


def test_a_conversion_reads_what_its_user_trusts_and_nothing_relative(
    site: Site, tmp_path: Path
) -> None:
    bundle = tmp_path / "trust.pem"
    bundle.touch()
    site.environ.update(SSL_CERT_FILE=str(bundle), SSL_CERT_DIR="certs:/nowhere")
    pulled = pull(site)
    (command,) = [c for c in site.process.commands if c.argv == pulled.cmd]
    assert command.env["APPTAINERENV_SSL_CERT_FILE"] == str(bundle)
    assert f"--mount=type=bind,src={bundle},dst={bundle},ro" in pulled.cmd
    assert not [word for word in pulled.cmd if "certs" in word or "nowhere" in word]


def test_what_apptainer_made_must_be_a_file_and_no_link_to_one(site: Site, tmp_path: Path) -> None:
    def linked(command: Command, _streams: Streams) -> Finished:
        secret = make_sif(tmp_path / "elsewhere.sif", site.config)
        secret.chmod(0o600)
        os.symlink(secret, command.argv[-2])
        return Finished(command.argv, 0)

    site.steps["build"] = linked
    with pytest.raises(CesError, match="keep image"):
        pull(site)
    assert (tmp_path / "elsewhere.sif").stat().st_mode & 0o777 == 0o600


def test_a_run_is_told_what_the_image_says_of_itself(site: Site) -> None:
    pull(site)
    ran = run_container(replace(SPEC, args=("x",)), site.system)
    (command,) = [c for c in site.process.commands if " ".join(c.argv).startswith(RUN)]
    assert command.argv[-3:] == (ran.record.command[-3], "app", "x")
    assert command.env["APPTAINERENV_A"] == "$y"
    assert "APPTAINERENV_a.b" not in command.env
    (warning,) = ran.record.warnings
    assert "a.b" in warning
    assert f"warning: {warning}" in site.said


def test_a_run_starts_where_the_image_says_if_that_can_be_seen(site: Site) -> None:
    site.content = TREE
    site.config |= {"WorkingDir": "/work", "Volumes": {"/a/data": {}, "/abs/b": {}}}
    pull(site)
    run_container(SPEC, site.system)
    (argv,) = site.process.told(RUN)
    places = [word for word in argv if word.startswith(("--cwd", "--scratch"))]
    assert places == ["--scratch=/work", "--scratch=/a/data", "--cwd=/work"]


def test_directories_below_new_outputs_and_scratch_are_made_there(site: Site) -> None:
    site.content = TREE
    volumes: dict[str, Any] = {"/scratch/v": {}, "/safe_outputs/../x": {}}
    site.config |= {"WorkingDir": "/safe_outputs/a/b", "Volumes": volumes}
    pull(site)
    found = []

    def look(command: Command, _streams: Streams) -> Finished:
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


def test_the_signal_that_the_image_names_ends_it(site: Site) -> None:
    site.config["StopSignal"] = "SIGUSR1"
    pull(site)
    signals = []

    def look(command: Command, streams: Streams) -> Finished:
        signals.append(streams.stop_signal)
        return Finished(command.argv, 0)

    site.process.then("apptainer --silent exec", look)
    run_container(SPEC, site.system)
    assert signals == [signal.SIGUSR1]


def test_an_image_that_does_not_say_what_to_run_is_refused_before_it_has_a_number(
    site: Site,
) -> None:
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


def test_an_image_from_no_registry_is_run_as_it_says_itself(site: Site) -> None:
    file = make_sif(site.home / "own.sif")
    run_container(replace(SPEC, image=ImageFile(str(file)), args=("x",)), site.system)
    (argv,) = site.process.told("apptainer --silent run")
    assert argv[-2:] == (str(file), "x")
    assert not [word for word in argv if word.startswith("--cwd")]


@pytest.mark.parametrize("name", ["my-own.sif", f"{DIGEST.replace(':', '-')}.sif"])
def test_a_file_of_ones_own_is_no_content_of_a_registry_whatever_its_name(
    site: Site, name: str
) -> None:
    file = make_sif(site.home / name)
    record = run_container(
        replace(SPEC, image=ImageFile(str(file)), args=("x",)), site.system
    ).record
    assert (record.digest, record.image_id) == (None, None)


def test_only_a_file_that_was_pulled_may_be_run_where_the_site_wants_that(site: Site) -> None:
    site.system.policy = replace(site.system.policy, sif_files="pulled")
    own = ImageFile(str(make_sif(site.home / f"{DIGEST.replace(':', '-')}.sif")))
    with pytest.raises(RefusedByPolicy, match="it was not pulled from an allowed registry"):
        run_container(replace(SPEC, image=own, args=("x",)), site.system)
    assert site.process.told("apptainer --silent") == []
    link = site.home / "app:1.sif"
    link.symlink_to(str(there(pull(site).image).file))
    record = run_container(replace(SPEC, image=ImageFile(str(link))), site.system).record
    assert (record.digest, record.image_id) == (DIGEST, DIGEST.partition(":")[2])


def test_a_pull_that_fails_otherwise_is_not_tried_again_and_leaves_nothing(site: Site) -> None:
    def fail(command: Command, _streams: Streams) -> Finished:
        make_sif(Path(command.argv[-2]))
        return Finished(command.argv, 255, "", "FATAL: no such host\n")

    site.steps["build"] = fail
    with pytest.raises(CesError, match="no such host"):
        pull(site)
    assert len(site.process.told(CONVERSION)) == 1
    assert list(site.home.rglob("*sha256*")) == list(site.home.glob(".local/**/locks/sha256*"))


def test_what_a_killed_pull_left_half_done_goes_with_the_next(site: Site) -> None:
    digests = site.home / ".local/share/ces/sif"
    digests.mkdir(parents=True)
    left = digests / f".{DIGEST.replace(':', '-')}.x.tmp"
    left.touch()
    (digests / ".other.x.tmp").touch()
    pull(site)
    assert not left.exists() and (digests / ".other.x.tmp").exists()


@pytest.mark.parametrize("version", ["1.3.9", "1.4.0"])
def test_a_login_goes_by_file_or_to_old_versions_by_environment(site: Site, version: str) -> None:
    site.process.answer("apptainer --version", stdout=f"apptainer version {version}-1\n")
    spec = PullSpec(IMAGE, "apptainer", Credentials("ada", "s3cret"))
    pull_image(spec, site.system)
    (command,) = [c for c in site.process.commands if " ".join(c.argv).startswith(CONVERSION)]
    by_file = any(word.startswith("--authfile=") for word in command.argv)
    by_environment = command.env.get("APPTAINERENV_APPTAINER_DOCKER_PASSWORD") == "s3cret"
    assert (by_file, by_environment) == (version == "1.4.0", version == "1.3.9")
    assert "s3cret" not in " ".join(command.argv)


def test_planning_a_pull_says_the_command_and_runs_none(site: Site) -> None:
    planned_pull = pull_image(PullSpec(IMAGE, "apptainer"), site.system, check_only=True)
    assert planned_pull.changed
    assert planned_pull.cmd[:2] == ("apptainer", "build")
    assert f"{REGISTRY}/app@{DIGEST}" in planned_pull.cmd[-1]
    assert site.process.told(CONVERSION) == []


def test_a_file_goes_with_its_last_name(site: Site) -> None:
    file = Path(str(there(pull(site).image).file))
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


def test_a_link_whose_image_was_removed_says_what_is_not_there_and_what_to_do(
    site: Site,
) -> None:
    link = site.home / "app:1.sif"
    link.symlink_to("/nowhere/digest.sif")
    with pytest.raises(CesError, match=f"{link}.*/nowhere/digest.sif is not there.*ces-pull"):
        run_container(replace(SPEC, image=ImageFile(str(link))), site.system)
    assert site.system.records.expected_number() == 1


@pytest.mark.parametrize("name", ["discovery.type", "A-B", "HOME"])
def test_a_variable_that_apptainer_cannot_pass_on_is_refused(site: Site, name: str) -> None:
    pull(site)
    with pytest.raises(InvalidValue, match=f"(?s){name}.*another name"):
        run_container(replace(SPEC, env={name: "s3cret"}), site.system)


def test_a_damaged_file_is_fetched_again_and_hides_no_other_image(site: Site) -> None:
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
