# SPDX-License-Identifier: GPL-3.0-or-later
"""ces-check: what it says of an image is what every engine then does with it."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from checking import CRUN, FOREIGN, REGISTRY, named, predicted
from conftest import LOGIN, IntoRegistry, Play, Push, User
from engines import RUNNERS
from remote import Host

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OF_DOCKER = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.oci.image.layer"
RUNS = {"Entrypoint": ["/bin/echo", "runs"], "Cmd": []}
FILES = [{"name": "more", "text": "x"}]
WRONG = [f"sha256:{'1' * 64}"] * 2


def saying(**config: Any) -> dict[str, Any]:
    """An image whose configuration says that, too."""
    return {"config": {**RUNS, **config}}


IMAGES: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    # the check that tells it, the engines under which it will not work, the image
    "ordinary": ("", (), saying()),
    # what engines can unpack
    "zstd": ("", (), {**saying(), "files": FILES, "zstd": True}),
    "zstd-of-docker": (
        "layers",
        RUNNERS,
        {
            **saying(),
            "form": DOCKER,
            "config_form": OF_DOCKER,
            "layer_form": "application/vnd.docker.image.rootfs.diff.tar.zstd",
        },
    ),
    "layers-of-another": (
        "layers",
        CRUN,
        {**saying(), "form": DOCKER, "config_form": OF_DOCKER},
    ),
    "not-to-be-passed-on": (
        "",
        (),
        {**saying(), "layer_form": f"{LAYER}.nondistributable.v1.tar+gzip"},
    ),
    "layers-of-docker": (
        "layers",
        ("oci",),
        {**saying(), "layer_form": "application/vnd.docker.image.rootfs.diff.tar.gzip"},
    ),
    "unknown-layer": ("layers", ("apptainer", "oci"), {**saying(), "layer_form": "text/plain"}),
    "of-two-forms": ("artifact", CRUN, {**saying(), "config_form": OF_DOCKER}),
    "chart": (
        "artifact",
        CRUN,
        {**saying(), "config_form": "application/vnd.cncf.helm.config.v1+json"},
    ),
    "bare": ("artifact", RUNNERS, {**saying(), "bare": True}),
    "other-layers": ("diff_ids", CRUN, {**saying(), "diff_ids": WRONG}),
    "nested": ("index", CRUN, {**saying(), "index": 2}),
    "cmd-is-text": ("config", RUNNERS, saying(Cmd="runs")),
    "ports-are-a-list": ("config", RUNNERS, saying(ExposedPorts=["80"])),
    # processors
    "foreign-variant": (
        "registry",
        RUNNERS,
        {**saying(), "about": {"architecture": "arm64"}, "index": 1},
    ),
    "foreign": (
        "platform",
        RUNNERS,
        {
            "about": {"architecture": "arm64"},
            "config": {"Entrypoint": ["/bin/app"]},
            "files": [{"name": "bin/app", "text": FOREIGN}],
        },
    ),
    # engines pass these over, where no index says them
    "for-windows": ("", (), {**saying(), "about": {"os": "windows"}}),
    "for-no-processor": ("", (), {**saying(), "about": {"architecture": "z" * 5000}}),
    # what Linux takes of words, and an engine of volumes
    "long-word": ("words", RUNNERS, saying(Env=["A=" + "x" * 2**17])),
    "many-words": ("words", RUNNERS, saying(Env=[f"A{n}={'x' * 60_000}" for n in range(40)])),
    "words-of-a-megabyte": (
        "words",
        ("apptainer",),
        saying(Env=[f"A{n}={'x' * 60_000}" for n in range(20)]),
    ),
    "many-volumes": ("volumes", ("podman",), saying(Volumes={f"/v{n}": {} for n in range(101)})),
    # what is run, where, as whom
    "nothing": ("program", RUNNERS, saying(Entrypoint=[], Cmd=[])),
    "empty-entry": ("", (), saying(Entrypoint=[""], Cmd=["/bin/echo", "runs"])),
    "empty-word": ("program", RUNNERS, saying(Entrypoint=["", "/bin/echo"], Cmd=["runs"])),
    "relative": ("", (), saying(Entrypoint=["./bin/echo", "runs"])),
    "no-path": ("program", CRUN, saying(Entrypoint=["echo", "runs"], Env=["PATH="])),
    "hidden": (
        "program",
        RUNNERS,
        {
            "config": {"Entrypoint": ["/scratch/go"], "Cmd": []},
            "files": [{"name": "scratch/"}, {"name": "scratch/go", "text": "#!/bin/sh\n"}],
        },
    ),
    "starts-in-proc": ("workdir", RUNNERS, saying(WorkingDir="/proc/none")),
    "starts-in-dev": ("workdir", ("apptainer",), saying(WorkingDir="/dev/none")),
    "starts-in-scratch": ("", (), saying(WorkingDir="/scratch/deep")),
    "volume-everywhere": ("volumes", ("podman",), saying(Volumes={"/": {}})),
    "volume-in-proc": ("volumes", ("podman",), saying(Volumes={"/proc/none": {}})),
    "user": ("", (), saying(User="1000:1000")),
    "last-user": ("", (), saying(User="65536")),
    "user-beyond": ("user", ("podman",), saying(User="65537")),
    "group-beyond": ("user", ("podman",), saying(User="0:65537")),
    "signed-user": ("", (), saying(User="+0")),
    "user-and-more": ("", (), saying(User="0:0:0")),
    "no-user": ("user", CRUN, saying(User="5000000000")),
    # what else a run is told
    "no-port": ("ports", ("podman",), saying(ExposedPorts={"http": {}})),
    "ports": ("", (), saying(ExposedPorts={"8000-8010/udp": {}})),
    "no-signal": ("stop_signal", ("podman",), saying(StopSignal="SIGNONE")),
    "far-signal": ("stop_signal", ("podman",), saying(StopSignal="SIGRTMIN+16")),
    "signal": ("", (), saying(StopSignal="SIGRTMAX-14")),
    "no-name": ("variables", ("podman",), saying(Env=["=x"])),
    "half-a-character": ("variables", ("oci",), saying(Env=["A=\ud800"])),
    "odd-names": ("", (), saying(Env=["a.b=1", "HOME=/x", "A_TOKEN=x"])),
}


@pytest.fixture(scope="module")
def researcher(signed_in: User, push_images: Push) -> User:
    """Alice, who has signed in to a registry that has these images."""
    images = ((name, image) for name, (_check, _runners, image) in IMAGES.items())
    push_images([{"name": f"tre/check-{name}:1.0", **image} for name, image in images])
    return signed_in


@pytest.mark.parametrize("name", IMAGES)
def test_what_is_predicted_comes_true(researcher: User, name: str) -> None:
    check, failing, _image = IMAGES[name]
    image = named(name)
    said = predicted(researcher, image)["runners"]
    try:
        for runner in RUNNERS:
            pulled = researcher.command("ces-pull", runner, image)
            run = researcher.command("ces-run", runner, image) if pulled.rc == 0 else pulled
            assert (run.rc == 0 and "runs" in run.out) is (runner not in failing), run.said
            faults = [one for one in said[runner]["findings"] if one["level"] == "fault"]
            assert bool(faults) is (runner in failing), (runner, said[runner]["reason"], run.said)
            assert [one["check"] for one in faults[:1]] == [check] * (runner in failing)
    finally:
        researcher.command("ces-rm", image)
        researcher.run(f"rm -f check-{name}:1.0.sif")


def test_a_user_who_is_not_you_may_not_write(researcher: User, push_images: Push) -> None:
    """What the warning about an image's user says, and that its cure is one."""
    script = ["/bin/sh", "-c", "touch /safe_outputs/x /scratch/x && echo runs"]
    push_images([{"name": "tre/check-writes:1.0", **saying(Entrypoint=script, User="1000")}])
    image = named("writes")
    said = predicted(researcher, image)["runners"]
    try:
        for runner in RUNNERS:
            warned = said[runner]["verdict"] == "works with warnings"
            assert warned is (runner == "podman")
            researcher.command("ces-pull", runner, image).ok()
            done = researcher.command("ces-run", runner, image)
            assert ("runs" in done.out) is not warned, done.said
        line = shlex.join(["ces-run", "podman", "--opt-file", "/dev/stdin", image])
        assert "--user=0" in said["podman"]["reason"]
        assert researcher.run(line, stdin="--user=0").ok().out == "runs\n"
    finally:
        researcher.command("ces-rm", image)
        researcher.run("rm -f check-writes:1.0.sif")


def test_nothing_is_fetched_or_changed(researcher: User) -> None:
    looks = ("podman images --quiet", "ces-images", "ls -A ~", "ls -A /var/tmp", "podman ps -aq")
    line = "; ".join(looks)
    before = researcher.run(line).ok().out
    predicted(researcher, named("ordinary"))
    assert researcher.run(line).ok().out == before
    assert "temporary files" not in researcher.left()


def test_an_image_that_is_here_is_told_when_the_registry_has_another(
    researcher: User, push_images: Push
) -> None:
    image = named("moved")
    push_images([{"name": "tre/check-moved:1.0", **saying()}])
    for runner in RUNNERS:
        researcher.command("ces-pull", runner, image).ok()
    try:
        said = predicted(researcher, image)["runners"]
        notes = {one["level"] for way in said.values() for one in way["findings"]}
        assert notes == {"ok"}
        push_images([{"name": "tre/check-moved:1.0", **saying(Labels={"new": "1"})}])
        said = predicted(researcher, image)["runners"]
        for runner in RUNNERS:
            assert "note" in {
                one["level"] for one in said[runner]["findings"] if one["check"] == "present"
            }
    finally:
        researcher.command("ces-rm", image)
        researcher.run("rm -f check-moved:1.0.sif")


def test_an_image_file_is_looked_at_without_a_registry(researcher: User) -> None:
    image = named("user")
    researcher.command("ces-pull", "apptainer", image).ok()
    try:
        said = predicted(researcher, "apptainer", "./check-user:1.0.sif")
        assert (said["works"], said["source"], said["platform"]) == (True, "", "linux/amd64")
        assert researcher.command("ces-run", "apptainer", "./check-user:1.0.sif").ok()
        done = researcher.command("ces-check", "podman", "./check-user:1.0.sif")
        assert done.rc == 1 and "fault (engine): it is a file" in done.out
    finally:
        researcher.command("ces-rm", image)
        researcher.run("rm -f check-user:1.0.sif")


def test_an_image_for_which_there_is_no_room_is_told(
    researcher: User, into_registry: IntoRegistry, backend: Host
) -> None:
    """On a small disk in the place of apptainer's temporary files; so a pull fails, too."""
    into_registry("push_layer", path="tre/check-room", tag="1.0", size=8 * 1024 * 1024)
    image = f"{REGISTRY}/tre/check-room:1.0"
    backend.root("mkdir -p /mnt/small && mount -t tmpfs -o size=4m,mode=1777 none /mnt/small")
    try:
        line = shlex.join(["ces-check", "apptainer", image])
        done = researcher.run(f"APPTAINER_TMPDIR=/mnt/small {line}")
        assert done.rc == 1
        assert "fault (space): its layers are 8" in done.out and "/mnt/small has 4MiB" in done.out
        line = shlex.join(["ces-pull", "apptainer", image])
        assert researcher.run(f"APPTAINER_TMPDIR=/mnt/small {line}").rc == 125
    finally:
        backend.root("umount /mnt/small && rmdir /mnt/small")


@pytest.mark.parametrize(
    ("image", "status", "says"),
    [
        ("registry.example.org/app:1", 1, "fault (policy): its registry is not allowed"),
        (f"{REGISTRY}/tre/hello-tre:none", 1, "fault (registry): the registry has no such image"),
        (f"{REGISTRY}/tre/hello-tre:1.0", 0, "podman: works"),
        ("hello-tre", 125, "it does not name its registry"),
        ("./none.sif", 125, "./none.sif"),
    ],
)
def test_the_exit_status_is_the_answer(
    researcher: User, image: str, status: int, says: str
) -> None:
    done = researcher.command("ces-check", "podman", image)
    assert done.rc == status
    assert says in done.said


def test_a_wrong_password_is_a_fault_and_is_not_repeated(users: dict[str, User]) -> None:
    words = ["ces-check", "podman", "--username", "researcher", "--password-stdin"]
    # one that he does not have: that would run, whatever the registry says
    done = users["bob"].command(*words, f"{REGISTRY}/tre/not-here:1.0", stdin="wr0ng-word")
    assert done.rc == 1, done.said
    assert "fault (login): it does not accept the user name and token" in done.out
    assert "wr0ng-word" not in done.said
    right = LOGIN.partition(":")[2]
    done = users["bob"].command(*words, f"{REGISTRY}/tre/hello-tre:1.0", stdin=right).ok()
    assert right not in done.said


def test_where_podman_keeps_images_is_what_podman_says(users: dict[str, User]) -> None:
    program = (
        "import sys; sys.path[:0] = ['/usr/local/lib/tre-ces'];"
        "from ces.system.account import Account;"
        "from ces.system.podman_places import podman_storage, podman_temporary;"
        "account = Account.current();"
        "print(podman_storage(account)); print(podman_temporary(account))"
    )
    ask = "podman info --format '{{.Store.GraphRoot}}\n{{.Store.ImageCopyTmpDir}}'"
    for name, before in (("alice", ""), ("carol", ""), ("alice", "export TMPDIR=/tmp; ")):
        user = users[name]
        ours = user.run(f"{before}{shlex.join(['python3', '-ISc', program])}").ok().out
        # ces-run finds the place of a user's data, podman alone is told it by the session
        data = "[ -d /var/lib/tre-ces/containers/$(id -u)/data ] && " + (
            "export XDG_DATA_HOME=/var/lib/tre-ces/containers/$(id -u)/data; "
        )
        assert user.run(f"{before}{data}{ask}").ok().out.strip() == ours.strip()


def test_a_task_says_the_same_and_changes_nothing(researcher: User, play: Play) -> None:
    task = {"tre.ces.ces_check": {"image": named("user-beyond")}, "register": "found"}
    claim = {
        "ansible.builtin.assert": {
            "that": [
                "not found.works",
                "not found.changed",
                "'beyond your range' in found.runners.podman.reason",
                "found.runners.apptainer.verdict == 'works'",
            ]
        }
    }
    for options in ([], ["--check"]):
        done = play("alice", [task, claim], *options)
        assert done.rc == 0, done.said
        assert "changed=0" in done.out
