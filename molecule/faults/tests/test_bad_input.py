# SPDX-License-Identifier: GPL-3.0-or-later
"""What a researcher can get wrong, or an attacker can try, in what they type and write."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from conftest import User

REGISTRY = "registry.tre.test:5000"
IMAGE = f"{REGISTRY}/tre/hello-tre:1.0"

WHITE_SPACE = "white space or control characters"
NOT_ALLOWED = "its registry is not allowed"
TRANSPORT = "it starts with a transport"
NO_REFERENCE = "not an image reference"
NO_REGISTRY = "does not name its registry"

IMAGES = [
    (f"{REGISTRY}/tre/hello tre:1.0", WHITE_SPACE),
    (f"{IMAGE} --privileged", WHITE_SPACE),
    (f" {IMAGE}", WHITE_SPACE),
    (f"{IMAGE}\n", WHITE_SPACE),
    (f"{IMAGE}\r", WHITE_SPACE),
    (f"{REGISTRY}/tre/\x1b[2Jhello-tre:1.0", WHITE_SPACE),
    (f"{REGISTRY}/tre/hello\ttre:1.0", WHITE_SPACE),
    (f"{REGISTRY}/tre/hello-tre:1.0\x7f", WHITE_SPACE),
    ("--privileged", "starts with a dash"),
    ("-v", "starts with a dash"),
    ("ghcr.io@evil.example.org/tre/hello-tre:1.0", "the registry contains '@'"),
    (f"{REGISTRY}@evil.example.org/tre/hello-tre:1.0", "the registry contains '@'"),
    (f"user:password@{IMAGE}", "the registry contains '@'"),
    ("registry.tre.test.evil.example.org:5000/tre/hello-tre:1.0", NOT_ALLOWED),
    ("evil-registry.tre.test:5000/tre/hello-tre:1.0", NOT_ALLOWED),
    ("registry.tre.test:50000/tre/hello-tre:1.0", NOT_ALLOWED),
    ("registry.tre.test/tre/hello-tre:1.0", NOT_ALLOWED),
    (f"{REGISTRY}/treacherous/hello-tre:1.0", NOT_ALLOWED),
    (f"{REGISTRY}/other/hello-tre:1.0", NOT_ALLOWED),
    ("docker.io/library/busybox:latest", NOT_ALLOWED),
    ("localhost/tre/hello-tre:1.0", NOT_ALLOWED),
    (f"{REGISTRY}/tre/../other/hello-tre:1.0", NO_REFERENCE),
    (f"{REGISTRY}//tre/hello-tre:1.0", NO_REFERENCE),
    (f"{REGISTRY}/tre/Hello-TRE:1.0", NO_REFERENCE),
    (f"{REGISTRY}/tre/hell\u043e-tre:1.0", NO_REFERENCE),
    (f"{IMAGE};id", NO_REFERENCE),
    (f"{REGISTRY}/tre/$(id):1.0", NO_REFERENCE),
    (f"{REGISTRY}/tre/hello-tre@sha256:abc", NO_REFERENCE),
    ("registry.tre.test:5000.evil.example.org/tre/hello-tre:1.0", NO_REFERENCE),
    (f"docker://{IMAGE}", TRANSPORT),
    (f"https://{IMAGE}", TRANSPORT),
    ("dir:/etc", TRANSPORT),
    ("oci-archive:/tmp/image.tar", TRANSPORT),
    ("docker-archive:/tmp/image.tar", TRANSPORT),
    ("containers-storage:localhost/x:1", TRANSPORT),
    ("busybox", NO_REGISTRY),
    ("tre/hello-tre:1.0", NO_REGISTRY),
    ("", "it is empty"),
]


Refuse = Callable[[list[dict[str, object]]], list[str]]


@pytest.fixture(scope="module")
def refuse(alice: User) -> Refuse:
    """Give Alice's commands one after the other in one session; each must be refused."""

    def run(commands: list[dict[str, object]]) -> list[str]:
        answers = alice.host.ask(alice.name, "run_each", commands=commands)
        for command, (status, said, _seconds) in zip(commands, answers):
            assert status == 125, f"{command} ended with {status}: {said}"
            assert not [char for char in said if ord(char) < 32 and char != "\n"], repr(said)
        return [said for _status, said, _seconds in answers]

    return run


@pytest.mark.parametrize("command", ["ces-pull", "ces-run"])
def test_an_image_that_is_none_is_refused(refuse: Refuse, command: str) -> None:
    answers = refuse([{"argv": [command, "podman", "--", image]} for image, _says in IMAGES])
    assert [(image, said) for (image, says), said in zip(IMAGES, answers) if says not in said] == []


def test_an_option_in_the_place_of_an_image_is_no_image(refuse: Refuse) -> None:
    words = ["--privileged", "-v/:/host", "--volume=/:/host", "--pull=sometimes"]
    for said in refuse([{"argv": ["ces-run", "podman", word]} for word in words]):
        assert "--help says more" in said


ENV_LINES = [
    ("JUST_A_NAME_s3cret", "it is not NAME=value"),
    ("A WORD=s3cret", "is no name of a variable"),
    ("export A=s3cret", "is no name of a variable"),
    ("1A=s3cret", "is no name of a variable"),
    ("=s3cret", "is no name of a variable"),
    ("-A=s3cret", "is no name of a variable"),
    ("A*=s3cret", "is no name of a variable"),
    ("A=s3cret\rB=1", "line break or a NUL"),
    ("A=s3cret\0", "line break or a NUL"),
    ("A='s3cret\nsecond line'", "it is not NAME=value"),
]


def test_an_env_line_that_is_none_is_refused_and_its_value_not_repeated(refuse: Refuse) -> None:
    argv = ["ces-run", "podman", "--env-file", "/dev/stdin", IMAGE]
    answers = refuse([{"argv": argv, "stdin": f"OK=1\n{text}\n"} for text, _says in ENV_LINES])
    for (text, says), said in zip(ENV_LINES, answers):
        assert says in said, text
        assert "s3cret" not in said


def test_an_env_file_means_what_it_says_and_runs_nothing(alice: User) -> None:
    values = {
        "DOLLAR": "$(touch /scratch/ran) `id` ${HOME} $HOME \\n",
        "QUOTES": 'it\'s "so"',
        "SPACES": "  two  ",
        "EQUALS": "a=b=c",
        "EMPTY": "",
        "HASH": "a # b",
    }
    text = "".join(f"{name}={value}\n" for name, value in values.items())
    text += "# a comment\n\nPAIR=\"one pair\"\nSINGLE='$(id)'\nCRLF=windows\r\n"
    alice.command("tee", "variables", stdin=text).ok()
    names = " ".join(f'"${name}"' for name in (*values, "PAIR", "SINGLE", "CRLF"))
    script = f'printf "%s|" {names}; ls /scratch'
    done = alice.shell_in_container(script, "--env-file", "variables").ok()
    assert done.out.split("|") == [*values.values(), "one pair", "$(id)", "windows", ""]


FORBIDDEN = [
    "--privileged",
    "--privileged=true",
    '"--priv"ileged',
    "--priv",
    "-v /:/host",
    "-v=/:/host",
    "-v/:/host",
    "--volume /:/host",
    "--volume=/:/host",
    "--volume=//:/host",
    "--volume=/./:/host",
    "--vol=/:/host",
    "-v /etc:/mnt:ro",
    "-v /home/bob:/mnt",
    "-v ${HOME}/..:/mnt",
    "-v ${HOME}/way-out:/mnt",
    "-v ${HOME}/way-out/etc:/mnt",
    "-v /run/user/2001:/mnt",
    "-v named-volume:/mnt",
    "-v ${HOME}:/safe_data",
    "-v ${HOME}:/:rw",
    "-v ${HOME}:/mnt:O,upperdir=/etc",
    "--mount type=bind,source=/,target=/host",
    "--mount=type=bind,src=/etc,dst=/host",
    "--mount=type=bind,src=${HOME},dst=/mnt,bind-propagation=rshared",
    "--mount type=volume,src=x,dst=/mnt",
    "-it",
    "-iv/:/host",
    "--cap-add ALL",
    "--cap-add=SYS_ADMIN",
    "--device /dev/fuse",
    "--security-opt=seccomp=unconfined",
    "--pid=host",
    "--ipc host",
    "--network=bridge",
    "--net container:x",
    "--userns=container:x",
    "--cgroups=disabled",
    "--cgroup-parent /x",
    "--env-file /etc/shadow",
    "--env-host",
    "-e HOME",
    "--volumes-from x",
    "--pod new:x",
    "--rootfs",
    "--detach",
    "-d",
    "--rm=false",
    "--label ces.run=1",
    "--annotation run.oci.keep_original_groups=1",
    "--runtime /bin/sh",
    "--hooks-dir /home/alice",
    "--root /home/alice/x",
    "--memory=1m",
    "-m 512",
    "--cpus 0",
    "-- --privileged",
    "--tz=UTC --privileged",
    "# a comment\n--tz=UTC\n  --privileged\n",
    "positional",
]


def test_an_option_that_is_not_allowed_is_refused(alice: User, refuse: Refuse) -> None:
    alice.run("ln -sfn / ~/way-out").ok()
    argv = ["ces-run", "podman", "--opt-file", "/dev/stdin", IMAGE]
    for said in refuse([{"argv": argv, "stdin": options} for options in FORBIDDEN]):
        assert "could not" in said
    assert alice.left() == {}


def test_an_option_that_is_not_allowed_is_named(refuse: Refuse) -> None:
    forms = ("--tz=UTC --privileged", "--privileged=true", '"--priv"ileged')
    argv = ["ces-run", "podman", "--opt-file", "/dev/stdin", IMAGE]
    for said in refuse([{"argv": argv, "stdin": options} for options in forms]):
        assert "could not pass --privileged to podman" in said


@pytest.mark.parametrize(
    "options",
    [
        "-v ${HOME}/mine:/mnt",
        "-v${HOME}/mine:/mnt",
        "-v=${HOME}/mine:/mnt:ro",
        "--volume ${HOME}/mine:/mnt",
        "--volume=${HOME}/mine:/mnt",
        '--mount "type=bind,src=${HOME}/mine,dst=/mnt,ro"',
    ],
)
def test_a_mount_that_is_allowed_is_made_in_every_form(alice: User, options: str) -> None:
    alice.run("mkdir -p ~/mine; echo of alice >~/mine/file").ok()
    alice.command("tee", "options", stdin=options).ok()
    done = alice.shell_in_container("cat /mnt/file", "--opt-file", "options").ok()
    assert done.out == "of alice\n"


def test_a_name_that_is_taken_is_refused_and_the_other_container_lives_on(alice: User) -> None:
    number = alice.start_run("--name", "taken", IMAGE, "-d", "60")
    done = alice.command("ces-run", "podman", "--name", "taken", IMAGE)
    assert done.rc == 125
    assert "taken" in done.err and "choose another name" in done.err
    assert alice.record(number)["state"] == "RUNNING"
    assert len(alice.containers()) == 1
    alice.command("ces-stop", str(number)).ok()
    assert alice.left() == {}


@pytest.mark.parametrize(
    "place",
    [
        ".local/state/ces/runs/{}/run.json",
        ".local/state/ces/counter",
        ".local/state/ces/jobs/{}",
        ".config/containers/auth.json",
    ],
)
def test_a_fifo_in_the_place_of_ones_own_file_keeps_nobody_waiting(alice: User, place: str) -> None:
    """It would be waited for, and SIGTERM would not end that."""
    alice.command("ces-run", "podman", alice.image).ok()
    path = place.format(alice.last_number())
    kept = f"mkdir -p $(dirname {path}); if [ -e {path} ]; then mv {path} kept; fi"
    alice.run(f"{kept}; mkfifo {path}").ok()
    try:
        for command in ("ces-runs", "ces-clean", f"ces-run podman {alice.image}"):
            assert alice.run(f"timeout 20 {command}").rc in (0, 125), command
        assert alice.run(f"timeout 20 ces-pull podman --force {alice.image}").rc == 125
    finally:
        alice.run(f"rm {path}; if [ -e kept ]; then mv kept {path}; fi").ok()
    alice.command("ces-run", "podman", alice.image).ok()


@pytest.mark.parametrize("name", ["registries.conf", "containers.conf", "storage.conf"])
def test_while_podman_waits_for_a_fifo_ours_ends_when_told_and_says_what_it_is(
    alice: User, name: str
) -> None:
    path = f".config/containers/{name}"
    alice.run(f"mkdir -p .config/containers && mkfifo {path}").ok()
    try:
        for command in ("ces-images", f"ces-check podman {alice.image}"):
            # 124: it ended by SIGTERM; 137: it had to be killed
            assert alice.run(f"timeout -k 10 5 {command}").rc in (0, 1, 124, 125), command
            # podman's own look would wait, too
            assert alice.run("pgrep -a -u alice -x podman | grep -v 'podman pause'").out == ""
        report = json.loads(alice.run("timeout -k 10 60 ces-doctor --json").out)
        said = [found["said"] for found in report["findings"] if found["level"] == "fault"]
        assert [text for text in said if f"{path} is no file" in text], said
    finally:
        alice.run(f"rm {path}").ok()
    alice.command("ces-run", "podman", alice.image).ok()
