# SPDX-License-Identifier: GPL-3.0-or-later
"""What podman is told: exact argument lists, and what its answers mean."""

from __future__ import annotations

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.command import Launch
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.podman import command as podman
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import (
    runner_named,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    InvalidValue,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.gpus import Gpus
from ansible_collections.tre.ces.plugins.module_utils.ces.values.mounts import Mount
from ansible_collections.tre.ces.plugins.module_utils.ces.values.resources import Resources

LAUNCH = Launch(
    image="registry.example.org/app:1",
    run_id=7,
    name="ces-7",
    mounts=(
        Mount("/safe_data/p", "/safe_data", "ro"),
        Mount("/home/ada l/outputs-7", "/safe_outputs"),
        Mount("/home/ada l/scratch-7", "/scratch"),
    ),
    resources=Resources(),
    network="none",
    private="/run/user/1000/ces/run-7",
)
BEFORE_OPTIONS = (
    "podman",
    "run",
    "--rm",
    "--pull=never",
    "--sig-proxy=false",
    "--log-driver=passthrough",
    "--group-add=keep-groups",
    "--http-proxy=false",
    "--default-mounts-file=/dev/null",
    "--no-healthcheck",
    "--systemd=false",
    "--name=ces-7",
    "--label=ces.run=7",
    "--cidfile=/run/user/1000/ces/run-7/cid",
    "--conmon-pidfile=/run/user/1000/ces/run-7/monitor",
    "--env-file=/run/user/1000/ces/run-7/env",
    "--network=none",
    "--cgroups=no-conmon",
    "--mount=type=bind,src=/safe_data/p,dst=/safe_data,ro",
    "--mount=type=bind,src=/home/ada l/outputs-7,dst=/safe_outputs",
    "--mount=type=bind,src=/home/ada l/scratch-7,dst=/scratch",
)
END = ("--", "registry.example.org/app:1")


def test_a_run_is_exactly_these_words() -> None:
    assert podman.run(LAUNCH) == Command(
        (*BEFORE_OPTIONS, *END), env={"GOGC": "400"}, role="podman", directory="/"
    )


def test_options_come_before_the_image_and_arguments_after_it_word_by_word() -> None:
    launch = replace(LAUNCH, options=("--user=1",), args=("-x", "--", "a b", "", "$HOME"))
    expected = (*BEFORE_OPTIONS, "--user=1", *END, "-x", "--", "a b", "", "$HOME")
    assert podman.run(launch).argv == expected


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(), ()),
        (Resources(cpus=2), ("--cpus=2",)),
        (Resources(cpus=0.5), ("--cpus=0.5",)),
        (Resources(memory=5 * 1024**2), ("--memory=5242880b", "--memory-swap=5242880b")),
        (
            Resources(1.5, 4 * 1024**3),
            ("--cpus=1.5", "--memory=4294967296b", "--memory-swap=4294967296b"),
        ),
    ],
)
def test_resources_become_limits_that_swap_does_not_double(
    resources: Resources, words: tuple[str, ...]
) -> None:
    argv = podman.run(replace(LAUNCH, resources=resources)).argv
    assert [word for word in argv if word not in (*BEFORE_OPTIONS, *END)] == list(words)


COMMANDS = [
    (podman.stop("/c/cid"), "podman stop --ignore --time=10 --cidfile=/c/cid"),
    (podman.kill("/c/cid", 10), "podman kill --signal=10 --cidfile=/c/cid"),
    (podman.remove("/c/cid"), "podman rm --force --ignore --time=0 --cidfile=/c/cid"),
    (podman.exists("ces-1"), "podman container exists ces-1"),
    (podman.delete("/home/x/scratch-1"), "podman unshare rm -rf -- /home/x/scratch-1"),
    (podman.pull("r.io/a:1", None), "podman pull r.io/a:1"),
    (podman.pull("r.io/a:1", "/x/auth.json"), "podman pull --authfile=/x/auth.json r.io/a:1"),
    (podman.image_list(), "podman images --format json"),
    (podman.image_remove("r.io/a:1"), "podman rmi r.io/a:1"),
]


@pytest.mark.parametrize(("command", "words"), COMMANDS)
def test_the_other_commands_are_exactly_these_words(command: Command, words: str) -> None:
    assert command == Command(tuple(words.split()), role="podman")


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ('Error: creating container storage: the container name "x" is already in use', "-n"),
        ("write /var/tmp/x: no space left on device", "ces-rm"),
        ("Error: cannot find UID/GID for user ada", "role subid"),
        ('newuidmap: exec: "newuidmap": executable file not found in $PATH', "uidmap"),
        ("Error: crun: executable file `/x` not found in $PATH", "--entrypoint"),
        ("{'message': 'UNAUTHORIZED'}", "token"),
        ("manifest unknown", "tag"),
        ("crun: cannot find `` in $PATH: a command that was not found", "give arguments"),
        ("crun: creating `/scratch`: a command that was not found", "link"),
        ("crun: openat2 `scratch`: No such file or directory: a command that was not", "link"),
        ("OCI runtime error: crun: openat2 `a`: Too many levels of symbolic links", "link"),
        ("OCI runtime error: crun: mount `/d` to `a`: Not a directory", "a file where a directory"),
        (
            "crun: error creating directory `a/b` since `a` exists and it is not a directory:",
            "a file where",
        ),
        ("OCI runtime error: crun: cannot open `/a/b`: Not a directory", "no such program"),
        ("crun: cannot find `x` in $PATH: a command that was not found", "--entrypoint"),
        ("crun: chdir to `/work`: No such file: a command that was not found", "--workdir"),
        ('workdir "/none" does not exist on container 1', "--workdir=/"),
        ("creating container 1 workdir: mkdir /x/merged/work: not a directory", "--workdir=/"),
        ("identifying source directory for copy up into volume 1: lstat /x", "a file where"),
        ("OCI runtime error: crun: the target `/proc` is invalid: Not a directory", "a file where"),
        ("creating /etc/mtab symlink: not a directory", "use the runner oci"),
        ("crun: the path `/x` is not a regular file: OCI permission denied", "a directory where"),
        ("crun: mkdir `/proc/v`: No such file: a command that was not found", ""),
        ("unable to find group x: no matching entries in group file", "numbers"),
        ("OCI runtime error: crun: cannot setresuid to `70000`: Invalid argument", "--user=0"),
        ("invalid signal: NONE", "--stop-signal"),
        ("running container create option: stop signal cannot be greater than 64", "--stop-signal"),
        ("uids and gids must be in range 0-2147483647", "--user=0"),
        ("unable to convert image EXPOSE: invalid expose format", "a port that the image exposes"),
        ('env fields from image failed to parse: invalid variable: "=x"', "has no name"),
        ("json: cannot unmarshal string into Go struct field X of type Y", "of another kind"),
        ('invalid mixed OCI image with Docker v2s2 config ("application/x")', "in one form"),
        ("registry.example.org/p/app:1: image not known", "run it again"),
        ('does not match config\'s DiffID "sha256:1"', "push it again"),
        ("(missing dynamic library?) `/x`: No such file or directory", "library"),
        ("(missing dynamic library?) `/x`: No such file or directory", "a script's first line"),
        ("exec container process `/x`: Exec format error", "processor"),
        ("exec container process `/x`: Exec format error", "#!/bin/sh"),
        ("crun: the path `/x` exists but it is not executable: OCI permission denied", "chmod +x"),
        ('unsupported image-specific operation on artifact with type "x"', "no container image"),
        ('no image found in image index for architecture "amd64"', "no variant"),
        ("Unexpectedly received a manifest list instead of", "index in an index"),
        ('unsupported docker v2s2 media type: "x"', "OCI form"),
        ("potentially insufficient UIDs or GIDs available in user namespace", "subordinate ids"),
        (
            "unpacking failed (error: exit status 1; output: no such file or directory)",
            "hard link",
        ),
        ("setrlimit `RLIMIT_NOFILE`: Operation not permitted", "ulimit"),
        ("something new", ""),
        ("", ""),
    ],
)
def test_what_podman_says_leads_to_what_to_do_next(said: str, hint: str) -> None:
    assert hint in podman.hint(said)
    assert bool(podman.hint(said)) == bool(hint)


def test_an_unknown_runner_is_refused_with_those_there_are() -> None:
    assert runner_named("podman").engine == "podman"
    with pytest.raises(InvalidValue, match="the runners are podman, apptainer, oci"):
        runner_named("docker")


NO_MOUNT = "OCI runtime error: crun: mount `/d` to `scratch`: Not a directory"
OLD_NO_PLACE = "crun: openat2 `scratch`: No such file or directory"
NO_PLACE = "crun: creating `/scratch`: openat2 `scratch`: No such file or directory"
NO_START = "crun: chdir to `/work`: No such file or directory"
FOREIGN = "exec container process `/bin/app`: Exec format error"
NO_LIBRARY = (
    "exec container process (missing dynamic library?) `/bin/app`: No such file or directory"
)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ((0, "", ""), None),
        ((1, "", "Error: of the program itself"), None),
        ((125, "", "the program's own"), None),
        ((125, "", "a\nError: no such image\n"), (125, "no such image")),
        ((127, "", "Error: crun: not found"), (127, "crun: not found")),
        ((127, "", f"Error: {NO_PLACE}: not found"), (125, f"{NO_PLACE}: not found")),
        ((127, "", f"Error: {OLD_NO_PLACE}: not found"), (125, f"{OLD_NO_PLACE}: not found")),
        ((126, "", f"Error: {NO_MOUNT}"), (125, NO_MOUNT)),
        ((127, "", f"Error: {NO_START}: not found"), (125, f"{NO_START}: not found")),
        *(
            ((126, "", f"Error: {said}"), (125, said))
            for said in (
                'workdir "/work" exists on container 1, but is not a directory',
                "creating container 1 workdir: mkdir /x/work: not a directory",
                "identifying source directory for copy up into volume 1: lstat /x",
                "OCI runtime error: crun: the target `/proc` is invalid: Not a directory",
                "creating /etc/mtab symlink: not a directory",
            )
        ),
        ((1, "", f'own\n{{"msg":"{FOREIGN}"}}\n'), (126, FOREIGN)),
        ((1, "", f'own\n{{"msg":"{NO_LIBRARY}"}}\n'), (127, NO_LIBRARY)),
        ((1, "", f'{{"msg":"{FOREIGN}"}}\nown\n'), None),
        ((2, "", f'{{"msg":"{FOREIGN}"}}\n'), None),
        ((1, "", '{"msg":"exec container process '), None),
    ],
)
def test_what_failed_is_the_container_or_podman(
    answer: tuple[int, str, str], complaint: tuple[int, str] | None
) -> None:
    assert podman.complaint(*answer) == complaint


def test_the_environment_goes_into_the_file_as_it_is() -> None:
    assert podman.environment({"A": "'x' $y", "B": ""}) == "A='x' $y\nB=\n"


def test_the_home_is_mounted_where_it_is_and_named() -> None:
    argv = podman.run(replace(LAUNCH, home="/home/ada")).argv
    added = [word for word in argv if word not in (*BEFORE_OPTIONS, *END)]
    assert added == ["--mount=type=bind,src=/home/ada,dst=/home/ada", "--env=HOME=/home/ada"]


def test_in_a_job_podman_makes_no_cgroup_sets_no_limit_and_passes_signals_on() -> None:
    argv = podman.run(replace(LAUNCH, in_job=True)).argv
    assert "--cgroups=disabled" in argv
    assert "--sig-proxy=true" in argv


def test_where_nothing_can_be_limited_podman_makes_no_cgroup() -> None:
    argv = podman.run(replace(LAUNCH, limitable=False)).argv
    assert [word for word in argv if word.startswith("--cgroups")] == ["--cgroups=disabled"]
    assert "--sig-proxy=false" in argv


@pytest.mark.parametrize(
    ("gpus", "devices"),
    [
        (None, []),
        (Gpus("nvidia.com/gpu", ("all",)), ["nvidia.com/gpu=all"]),
        (Gpus("nvidia.com/gpu", ("1", "0:2")), ["nvidia.com/gpu=1", "nvidia.com/gpu=0:2"]),
        (Gpus("amd.com/gpu", ("0",)), ["amd.com/gpu=0"]),
    ],
)
def test_gpus_are_named_one_by_one(gpus: Gpus | None, devices: list[str]) -> None:
    argv = podman.run(replace(LAUNCH, gpus=gpus)).argv
    given = [word for word in argv if word.startswith("--device=")]
    assert given == [f"--device={name}" for name in devices]
