# SPDX-License-Identifier: GPL-3.0-or-later
"""What apptainer is told: exact argument lists and environment, and what its answers mean."""

from __future__ import annotations

from typing import Any

import pytest
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.apptainer import (
    command as apptainer,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.command import Launch
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.values.bundle import ImageConfig
from ansible_collections.tre.ces.plugins.module_utils.ces.values.cdi import (
    AMD,
    NVIDIA,
    Bind,
    Edits,
    Hook,
    Node,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.gpus import Gpus
from ansible_collections.tre.ces.plugins.module_utils.ces.values.mounts import Mount
from ansible_collections.tre.ces.plugins.module_utils.ces.values.resources import Resources

LAUNCH = Launch(
    image="/home/ada/app.sif",
    run_id=7,
    name="ces-7",
    mounts=(Mount("/safe_data/p", "/safe_data", "ro"), Mount("/home/ada l/o", "/safe_outputs")),
    resources=Resources(),
    network="none",
    private="/run/user/1000/ces/run-7",
)
FIRST = (
    "apptainer",
    "--silent",
    "run",
    "--containall",
    "--no-eval",
    "--writable-tmpfs",
    "--net",
    "--network=none",
)
MOUNTS = (
    "--mount=type=bind,src=/sys/fs/cgroup,dst=/sys/fs/cgroup,ro",
    "--mount=type=bind,src=/safe_data/p,dst=/safe_data,ro",
    "--mount=type=bind,src=/home/ada l/o,dst=/safe_outputs",
)
IMAGE = "/home/ada/app.sif"


def test_a_run_is_exactly_these_words() -> None:
    command = apptainer.run(LAUNCH)
    assert command == Command((*FIRST, *MOUNTS, IMAGE), without=command.without, role="apptainer")
    assert {"https_proxy", "HTTPS_PROXY", "all_proxy", "no_proxy"} < {*command.without}


def test_options_come_before_the_image_and_arguments_after_it_word_by_word() -> None:
    launch = replace(LAUNCH, options=("--cwd=/x",), args=("-x", "--", "a b", "", "$HOME"))
    expected = (*FIRST, *MOUNTS, "--cwd=/x", IMAGE, "-x", "--", "a b", "", "$HOME")
    assert apptainer.run(launch).argv == expected


def test_variables_go_by_environment_and_not_by_argument() -> None:
    command = apptainer.run(replace(LAUNCH, env={"TOKEN": "s3cret $(id)", "A": ""}))
    assert command.argv == (*FIRST, *MOUNTS, IMAGE)
    assert command.env == {"APPTAINERENV_TOKEN": "s3cret $(id)", "APPTAINERENV_A": ""}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"home": "/home/ada"}, ["--home=/home/ada"]),
        ({"resources": Resources(cpus=0.5)}, ["--cpus=0.5"]),
        ({"resources": Resources(memory=5)}, ["--memory=5", "--memory-swap=5"]),
    ],
)
def test_what_else_is_asked_for_is_said(change: dict[str, Any], words: list[str]) -> None:
    argv = apptainer.run(replace(LAUNCH, **change)).argv
    assert [word for word in argv if word not in (*FIRST, *MOUNTS, IMAGE)] == words


CONFIG = ImageConfig(
    entrypoint=("app", ""),
    cmd=("-a",),
    env=("A=$B `c` $(d)", "HOME=/h", "UID=5", "a.b=c", "A=1\n2", "NOTHING"),
    cwd="/w",
)


def test_an_image_from_a_registry_is_run_by_what_it_says_of_itself() -> None:
    command = apptainer.run(replace(LAUNCH, config=CONFIG, options=("--cwd=/x",)))
    words = ("--cwd=/w", "--cwd=/x", IMAGE, "app", "", "-a")
    assert command.argv == (*FIRST[:2], "exec", *FIRST[3:], *MOUNTS, *words)
    assert command.env == {
        "APPTAINERENV_PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "APPTAINERENV_A": "1\n2",
        "APPTAINERENV_NOTHING": "",
    }


def test_directories_that_the_image_names_and_has_not_are_made() -> None:
    config = replace(
        CONFIG,
        cwd="/tmp/work",  # noqa: S108
        volumes=("/data/deep", "/bin", "/safe_outputs/x", "/scratch", "/a,/etc", "/proc/x"),
        lacks=("/tmp/work", "/data/deep", "/safe_outputs/x", "/a,/etc", "/proc/x"),  # noqa: S108
    )
    argv = apptainer.run(replace(LAUNCH, config=config)).argv
    made = [word for word in argv if word.startswith(("--scratch", "--cwd", "--no-mount"))]
    assert made == ["--scratch=/tmp/work", "--scratch=/data/deep", "--cwd=/tmp/work"]
    # --scratch would make two directories of it
    own = "--mount=type=bind,src=/run/user/1000/ces/run-7/place-0,"
    assert [word for word in argv if word.startswith(own)] == [f'{own}"dst=/a,/etc"']
    unseen = apptainer.run(replace(LAUNCH, config=replace(CONFIG, cwd=""))).argv
    assert unseen == (*FIRST[:2], "exec", *FIRST[3:], *MOUNTS, IMAGE, "app", "", "-a")


@pytest.mark.parametrize(
    "there",
    [
        {"cwd": "/tmp/work"},  # noqa: S108
        {"volumes": ("/var/tmp/data",)},  # noqa: S108
        {"entrypoint": ("/tmp/start",)},  # noqa: S108
    ],
)
def test_what_the_image_has_among_its_temporary_files_is_not_covered(there: dict[str, Any]) -> None:
    argv = apptainer.run(replace(LAUNCH, config=replace(CONFIG, **there))).argv
    assert "--no-mount=tmp" in argv
    assert not any(word.startswith("--scratch") for word in argv)
    assert "--no-mount=tmp" not in apptainer.run(replace(LAUNCH, config=CONFIG)).argv


def test_what_the_caller_says_counts_more_than_what_the_image_says() -> None:
    config = replace(CONFIG, env=("PATH=/opt/bin", "A=image", "CUDA_VISIBLE_DEVICES=all"))
    launch = replace(LAUNCH, config=config, args=("x",), env={"A": "mine"})
    command = apptainer.run(replace(launch, gpus=Gpus(NVIDIA, ("1",))))
    assert command.argv[-3:] == ("app", "", "x")
    assert command.env["APPTAINERENV_PATH"] == "/opt/bin"
    assert command.env["APPTAINERENV_A"] == "mine"
    assert command.env["APPTAINERENV_CUDA_VISIBLE_DEVICES"] == "1"


def test_an_image_that_does_not_say_what_to_run_is_not_run() -> None:
    with pytest.raises(CesError, match=r"no ENTRYPOINT and no CMD.*give arguments"):
        apptainer.run(replace(LAUNCH, config=ImageConfig()))


def test_with_the_hosts_network_there_is_no_network_namespace() -> None:
    argv = apptainer.run(replace(LAUNCH, network="host")).argv
    assert argv == (*FIRST[:-2], *MOUNTS, IMAGE)


def test_a_pull_has_its_credentials_by_file_or_environment() -> None:
    env = {"SECRET": "s3cret"}
    command = apptainer.pull("/x/a.sif", "r.io/a:1", "/run/auth.json", env, ("--quick",))
    assert command.argv == (
        *("apptainer", "build", "--disable-cache", "--quick", "--authfile=/run/auth.json"),
        *("/x/a.sif", "docker://r.io/a:1"),
    )
    assert command.env == {"SECRET": "s3cret"}
    assert "s3cret" not in repr(command)


NOT_ON_PATH = '"x": executable file not found in $PATH'
NO_LIBRARY = "exec /bin/x failed: a shared library is likely missing in the image"
NO_INTERPRETER = "exec /bin/x failed: fork/exec /bin/x: no such file or directory"
OTHER_PROCESSOR = "image targets 'arm64', cannot run on 'amd64'"


def test_a_command_in_a_container_has_its_variables_and_its_mounts_alone() -> None:
    command = Command(("/opt/bin/apptainer", "pull", "x"), env={"SECRET": "s3cret"})
    mounts = (Mount("/usr", "/usr", "ro"), Mount("/x/a", "/x/a"))
    enclosed = apptainer.enclosed(command, "/x/root", mounts)
    assert enclosed.argv == (
        *("apptainer", "--silent", "exec", "--containall", "--no-eval"),
        "--no-mount=sys,hostfs,bind-paths",
        "--mount=type=bind,src=/usr,dst=/usr,ro",
        "--mount=type=bind,src=/x/a,dst=/x/a",
        *("/x/root", "/opt/bin/apptainer", "pull", "x"),
    )
    assert enclosed.env == {"APPTAINERENV_SECRET": "s3cret"}


def test_root_converts_without_roots_rights_to_the_kernel() -> None:
    argv = apptainer.enclosed(Command(("x",)), "/r", (), privileged=True).argv
    assert "--no-privs" in argv
    assert "--mount=type=bind,src=/proc/sys,dst=/proc/sys,ro" in argv
    (given,) = (word for word in argv if word.startswith("--add-caps="))
    assert "CAP_SYS" not in given


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ((0, "", ""), None),
        ((3, "", "FATAL:   of the program itself"), None),
        ((255, "", "the program's own"), None),
        ((255, "", "FATAL:   while loading: no space"), (125, "while loading: no space")),
        ((255, "", "FATAL:   stat /bin/x: no such file"), (127, "stat /bin/x: no such file")),
        ((255, "", f"FATAL:   {NOT_ON_PATH}"), (127, NOT_ON_PATH)),
        (
            (255, "", "FATAL:   permission denied"),
            (126, "the image's program: permission denied"),
        ),
        ((255, "", "FATAL:   is a directory"), (126, "the image's program: is a directory")),
        ((255, "", f"FATAL:   {NO_LIBRARY}"), (127, NO_LIBRARY)),
        ((255, "", f"FATAL:   {NO_INTERPRETER}"), (127, NO_INTERPRETER)),
        ((255, "", f"FATAL:   {OTHER_PROCESSOR}"), (126, OTHER_PROCESSOR)),
        ((255, "", "FATAL:   open x: permission denied"), (125, "open x: permission denied")),
    ],
)
def test_what_failed_is_the_container_or_apptainer(
    answer: tuple[int, str, str], complaint: tuple[int, str] | None
) -> None:
    assert apptainer.complaint(*answer) == complaint


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("build: failed to make environment files: open x/rootfs/etc/hosts: no such file", "links"),
        ("conveyor failed to get: no child with platform linux/amd64 in index x", "no variant"),
        ("squashfuse_ll exited: fuse: failed to open /dev/fuse: Permission denied", "0666"),
        ('"x": executable file not found in $PATH', "no such program"),
        ("stat /x: no such file or directory", "no such program"),
        ("mount hook failure: could not mount /home/ada/s: not a directory", "a file where"),
        (NO_LIBRARY, "lacks a library"),
        ('mksquashfs command failed: Compressor "zstd" is not supported!', "sif_compression"),
        ("no extractable OCI/Docker tar layers found in this image", "no files of an image"),
        (NO_INTERPRETER, "a script's first line"),
        ("could not open image /x.sif: no such file or directory", ""),
    ],
)
def test_what_is_said_leads_to_what_to_do(said: str, part: str) -> None:
    assert part.rstrip("s") in apptainer.hint(said)
    assert bool(apptainer.hint(said)) == bool(part)


@pytest.mark.parametrize(
    ("said", "closed"),
    [
        ("while packing: open /tmp/b/rootfs/etc/hosts: permission denied", True),
        ("open /tmp/b/rootfs/etc/hosts: no such file or directory", False),
        ("open /home/ada/x.sif: permission denied", False),
    ],
)
def test_an_image_that_is_closed_to_its_owner_is_known_by_what_apptainer_says(
    said: str, closed: bool
) -> None:
    assert apptainer.is_closed(said) is closed


def test_an_image_that_does_not_say_what_to_run_has_not_succeeded() -> None:
    rc, said = there(
        apptainer.complaint(0, "There is no runscript defined for this container\n", "")
    )
    assert rc == 125
    assert "ENTRYPOINT" in said


def test_without_a_specification_apptainer_looks_for_the_gpu_itself() -> None:
    command = apptainer.run(replace(LAUNCH, gpus=Gpus(NVIDIA)))
    assert (command.argv, command.env) == ((*FIRST, "--nv", *MOUNTS, IMAGE), {})
    command = apptainer.run(replace(LAUNCH, gpus=Gpus(AMD, ("1",))))
    assert "--rocm" in command.argv
    assert command.env == {"APPTAINERENV_ROCR_VISIBLE_DEVICES": "1"}
    command = apptainer.run(replace(LAUNCH, gpus=Gpus(NVIDIA, ("1", "2")), env={"A": "b"}))
    assert command.env == {
        "APPTAINERENV_CUDA_VISIBLE_DEVICES": "1,2",
        "APPTAINERENV_NVIDIA_VISIBLE_DEVICES": "1,2",
        "APPTAINERENV_A": "b",
    }


def test_apptainer_gets_what_the_specification_puts_into_a_container_piece_by_piece() -> None:
    edits = Edits(
        env=("NVIDIA_VISIBLE_DEVICES=void",),
        nodes=(Node("/dev/nvidia1", "/dev/nvidia1"),),
        mounts=(
            Bind("/usr/lib/libcuda.so.550.54", "/usr/lib/libcuda.so.550.54"),
            Bind("/usr/bin/nvidia-smi", "/opt/bin/nvidia-smi", ("ro",)),
        ),
        hooks=(Hook("createContainer", "/usr/bin/nvidia-cdi-hook"),),
    )
    libraries = ("/usr/lib/libcuda.so.1", "/usr/lib/libcuda.so.550.54")
    command = apptainer.run(replace(LAUNCH, gpus=Gpus(NVIDIA, ("1",), edits, libraries)))
    given = (
        "--mount=type=bind,src=/dev/nvidia1,dst=/dev/nvidia1",
        "--mount=type=bind,src=/opt/bin/nvidia-smi,dst=/usr/bin/nvidia-smi,ro",
    )
    assert command.argv == (*FIRST, *MOUNTS, *given, IMAGE)
    assert command.env == {
        "APPTAINERENV_NVIDIA_VISIBLE_DEVICES": "void",
        "APPTAINER_CONTAINLIBS": ",".join(libraries),
    }
