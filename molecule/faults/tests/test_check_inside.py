# SPDX-License-Identifier: GPL-3.0-or-later
"""ces-check --pull: what it says of an image's files is what a run then meets."""

from __future__ import annotations

import shlex
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from checking import CRUN, FOREIGN, named, predicted
from conftest import IntoRegistry, Play, Push, User, down
from engines import RUNNERS
from remote import Host

ECHO = {"Entrypoint": ["/bin/echo", "runs"], "Cmd": []}
BEGIN = {"Entrypoint": ["/begin"], "Cmd": []}
SCRIPT = "#!/bin/sh\necho runs\n"


def begins(text: str, **more: Any) -> dict[str, Any]:
    """An image whose program is that."""
    return {"config": BEGIN, "files": [{"name": "begin", "text": text, **more}]}


def with_loader(name: str) -> str:
    """A program for this processor that needs a loader; all of it is ASCII."""
    head = b"\x7fELF\2\1\1".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 2, 0x3E, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    part = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(name) + 1, len(name) + 1, 1)
    return (head + part + name.encode() + b"\0").decode("ascii").ljust(300, "\0")


IMAGES: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    # the check that tells it, the engines under which it will not work, the image
    "plain": ("", (), {"config": ECHO}),
    "script": ("", (), begins(SCRIPT)),
    "by-link": (
        "",
        (),
        {
            "config": BEGIN,
            "files": [
                {"name": "opt/real", "text": SCRIPT},
                {"name": "opt/way", "link": "/opt"},
                {"name": "begin", "link": "opt/way/../opt/real"},
            ],
        },
    ),
    # its program
    "missing": ("executable", RUNNERS, {"config": BEGIN}),
    "dangling": (
        "executable",
        RUNNERS,
        {"config": BEGIN, "files": [{"name": "begin", "link": "/none"}]},
    ),
    "directory": ("executable", RUNNERS, {"config": BEGIN, "files": [{"name": "begin/"}]}),
    "no-right": ("executable", RUNNERS, begins(SCRIPT, mode=0o644)),
    "not-in-path": ("executable", RUNNERS, {"config": {**ECHO, "Entrypoint": ["none"]}}),
    "no-first-line": ("executable", CRUN, begins("echo runs\n")),
    "deleted": ("executable", RUNNERS, {"config": ECHO, "files": [{"name": "bin/.wh.echo"}]}),
    "emptied": (
        "executable",
        RUNNERS,
        {"config": ECHO, "files": [{"name": "bin/.wh..wh..opq"}, {"name": "bin/x", "text": "x"}]},
    ),
    # processors
    "foreign-program": ("processor", RUNNERS, begins(FOREIGN)),
    "foreign-interpreter": (
        "processor",
        RUNNERS,
        {
            "config": BEGIN,
            "files": [
                {"name": "begin", "text": "#!/bin/foreign\n"},
                {"name": "bin/foreign", "text": FOREIGN},
            ],
        },
    ),
    "foreign-command": (
        "",
        (),
        {
            "config": {**ECHO, "Cmd": ["/bin/foreign"]},
            "files": [{"name": "bin/foreign", "text": FOREIGN}],
        },
    ),
    # what is executed in its place
    "no-interpreter": ("interpreter", RUNNERS, begins("#!/bin/bash\necho runs\n")),
    "windows": ("interpreter", RUNNERS, begins("#!/bin/sh\r\necho runs\r\n")),
    "asks-env": (
        "interpreter",
        RUNNERS,
        {
            "config": BEGIN,
            "files": [
                {"name": "begin", "text": "#!/usr/bin/env python3\nprint('runs')\n"},
                {"name": "usr/bin/env", "link": "/bin/busybox"},
            ],
        },
    ),
    "no-loader": ("interpreter", RUNNERS, begins(with_loader("/lib64/ld-none.so.2"))),
    "no-shell": ("", (), {"config": ECHO, "files": [{"name": "bin/.wh.sh"}]}),
    "no-first-line-and-no-shell": (
        "executable",
        RUNNERS,
        {
            "config": BEGIN,
            "files": [{"name": "begin", "text": "echo runs\n"}, {"name": "bin/.wh.sh"}],
        },
    ),
    "for-its-owner": ("", (), begins(SCRIPT, mode=0o700)),
    "closed-to-others": (
        "",
        (),
        {
            "config": {**BEGIN, "Entrypoint": ["/closed/begin"]},
            "files": [
                {"name": "closed/", "mode": 0o700, "owner": 1000},
                {"name": "closed/begin", "text": SCRIPT},
            ],
        },
    ),
    # places
    "link-to-file-in-scratch": (
        "places",
        ("podman", "apptainer"),
        {"config": ECHO, "files": [{"name": "scratch", "link": "/etc/group"}]},
    ),
    "file-in-scratch": (
        "places",
        ("podman", "apptainer"),
        {"config": ECHO, "files": [{"name": "scratch", "text": "x"}]},
    ),
    "link-in-scratch": (
        "places",
        ("podman",),
        {"config": ECHO, "files": [{"name": "scratch", "link": "/none/scratch"}]},
    ),
    "link-to-scratch": (
        "",
        (),
        {
            "config": ECHO,
            "files": [{"name": "scratch", "link": "/opt/scratch"}, {"name": "opt/scratch/"}],
        },
    ),
    "no-workdir": ("", (), {"config": {**ECHO, "WorkingDir": "/work/here"}}),
    "file-in-workdir": (
        "start",
        RUNNERS,
        {"config": {**ECHO, "WorkingDir": "/work"}, "files": [{"name": "work", "text": "x"}]},
    ),
    "file-above-workdir": (
        "start",
        CRUN,
        {"config": {**ECHO, "WorkingDir": "/work/a"}, "files": [{"name": "work", "text": "x"}]},
    ),
    "link-in-workdir": (
        "start",
        ("podman",),
        {"config": {**ECHO, "WorkingDir": "/work"}, "files": [{"name": "work", "link": "/none/w"}]},
    ),
    "far-owner": (
        "pull",
        ("podman",),
        {"config": ECHO, "files": [{"name": "far", "text": "x", "owner": 3_000_000}]},
    ),
    "cuda": (
        "",
        (),
        {
            "config": ECHO,
            "files": [{"name": "usr/local/cuda/lib64/libcudart.so.12.4.127", "text": "x"}],
        },
    ),
}


@pytest.fixture(scope="module")
def researcher(signed_in: User, push_images: Push) -> Iterator[User]:
    """Alice, who has signed in to a registry that has these images."""
    images = ((name, image) for name, (_check, _runners, image) in IMAGES.items())
    push_images([{"name": f"tre/check-in-{name}:1.0", **image} for name, image in images])
    yield signed_in
    signed_in.run("rm -f check-in-*.sif")


def inside(name: str) -> str:
    return named(f"in-{name}")


def findings(said: dict[str, Any], runner: str, check: str) -> list[dict[str, str]]:
    return [one for one in said["runners"][runner]["findings"] if one["check"] == check]


@pytest.mark.parametrize("name", IMAGES)
def test_what_its_files_say_comes_true(researcher: User, name: str) -> None:
    check, failing, _image = IMAGES[name]
    image = inside(name)
    try:
        for runner in RUNNERS:
            said = predicted(researcher, "--pull", runner, image)
            verdict = said["runners"][runner]
            run = researcher.command("ces-run", runner, image)
            faults = [one for one in verdict["findings"] if one["level"] == "fault"]
            assert (run.rc == 0 and "runs" in run.out) is (runner not in failing), (run.said, said)
            assert [one["check"] for one in faults] == [check] * (runner in failing), run.said
            assert said["pulled"] is (check != "pull" or runner not in failing)
            assert all(one["cure"] for one in faults)
    finally:
        researcher.command("ces-rm", image)


@pytest.mark.parametrize(
    ("name", "check", "level", "says"),
    [
        ("no-shell", "shell", "note", "it has no shell (/bin/sh is not among its files)"),
        ("no-workdir", "start", "note", "a run makes it"),
        ("cuda", "cuda", "note", "it has CUDA 12.4.127, and this host has no NVIDIA driver"),
        ("foreign-program", "processor", "fault", "'/begin' is for arm, and this host is"),
        ("no-loader", "interpreter", "fault", "needs '/lib64/ld-none.so.2', which is not among"),
        ("asks-env", "interpreter", "fault", "'python3', which is in no directory of its PATH"),
        ("deleted", "executable", "fault", "its program '/bin/echo' is not among its files"),
        ("foreign-command", "processor", "warning", "'/bin/foreign' is for arm, and this host is"),
        ("emptied", "shell", "note", "it has no shell"),
    ],
)
def test_all_engines_are_judged_by_the_files_that_one_has_fetched(
    researcher: User, name: str, check: str, level: str, says: str
) -> None:
    image = inside(name)
    try:
        said = predicted(researcher, "--pull", image)
        for runner in RUNNERS:
            (finding,) = findings(said, runner, check)
            assert finding["level"] == level and says in finding["said"]
        assert f"{image} podman" in " ".join(researcher.command("ces-images").ok().out.split())
        (note,) = findings(said, "podman", "pull")
        assert "it stays in /" in note["said"]
        researcher.run(note["cure"].partition(" removes")[0]).ok()
        assert image not in researcher.command("ces-images").ok().out
    finally:
        researcher.command("ces-rm", image)


def test_an_image_that_is_here_is_looked_at_without_its_registry(
    researcher: User, registry: Host
) -> None:
    image = inside("no-interpreter")
    try:
        for runner in RUNNERS:
            researcher.command("ces-pull", runner, image).ok()
        with down(registry):
            for runner in RUNNERS:
                said = predicted(researcher, "--pull", runner, image)
                assert (said["works"], said["pulled"]) == (False, False)
                assert said["digest"].startswith("sha256:")
                assert [one["level"] for one in findings(said, runner, "interpreter")] == ["fault"]
            assert researcher.command("ces-check", image).rc == 125
    finally:
        researcher.command("ces-rm", image)


def test_an_image_file_is_looked_into_where_it_is(researcher: User) -> None:
    image = inside("windows")
    file = "check-in-windows:1.0.sif"
    researcher.command("ces-pull", "apptainer", image).ok()
    try:
        done = researcher.command("ces-check", "--pull", "apptainer", f"./{file}")
        assert done.rc == 1
        assert "fault (interpreter): its script '/begin' names the interpreter" in done.out
        assert r"/bin/sh\r" in done.out
    finally:
        researcher.command("ces-rm", image)


def test_an_image_that_cannot_work_anyway_is_not_fetched(
    researcher: User, push_images: Push
) -> None:
    image = inside("idle")
    push_images([{"name": "tre/check-in-idle:1.0", "config": {"Entrypoint": [], "Cmd": []}}])
    said = predicted(researcher, "--pull", image)
    assert (said["works"], said["pulled"]) == (False, False)
    (note,) = findings(said, "podman", "pull")
    assert "nothing was pulled for podman" in note["said"]
    assert image not in researcher.command("ces-images").ok().out


def test_files_that_are_no_more_of_the_users_ids_are_told(
    researcher: User, push_images: Push, backend: Host
) -> None:
    """The administrator has given the user another range since the image was pulled."""
    owned = {"name": "home/app/data", "text": "x", "owner": 1000}
    push_images([{"name": "tre/check-in-owned:1.0", "config": ECHO, "files": [owned]}])
    image = inside("owned")
    researcher.command("ces-pull", "podman", image).ok()
    backend.root("cp -a /etc/subuid /etc/subuid.kept")
    try:
        assert findings(predicted(researcher, "--pull", image), "podman", "owners")[0]["level"] == (
            "ok"
        )
        backend.root(
            f"sed -i 's/^{researcher.name}:.*/{researcher.name}:900000000:65536/'" " /etc/subuid"
        )
        (finding,) = findings(predicted(researcher, "--pull", image), "podman", "owners")
        assert finding["level"] == "warning"
        assert "the first is '/home/app/data' of " in finding["said"]
    finally:
        backend.root("mv /etc/subuid.kept /etc/subuid")
        researcher.command("ces-rm", image)


def test_a_driver_that_is_too_old_for_its_cuda_is_told(researcher: User) -> None:
    """A program stands in for the one that asks the driver: here is none."""
    image = inside("cuda")
    script = "#!/bin/sh\necho ${DRIVER}\n"
    researcher.run("mkdir fake && cat >fake/nvidia-smi && chmod +x fake/*", stdin=script).ok()
    check = f"PATH=$HOME/fake:$PATH ces-check --pull podman {image}"
    try:
        said = researcher.run(f"DRIVER=470.256.02 {check}").ok().out
        assert "warning (cuda): it has CUDA 12.4.127, which needs NVIDIA's driver 525.60.13" in said
        assert "this host has 470.256.02" in said
        assert "(cuda)" not in researcher.run(f"DRIVER=535.183.01 {check}").ok().out
    finally:
        researcher.run("rm -r fake").ok()
        researcher.command("ces-rm", image)


def test_a_check_that_is_stopped_leaves_nothing(
    researcher: User, into_registry: IntoRegistry
) -> None:
    into_registry("push_layer", path="tre/check-in-large", tag="1.0", size=200 * 1024 * 1024)
    for runner in RUNNERS:
        before = researcher.run("ls -A /var/tmp").ok().out
        check = shlex.join(["ces-check", "--pull", runner, inside("large")])
        done = researcher.run(f"timeout --preserve-status -s TERM 1 {check}")
        assert done.rc == 143, done.said
        assert researcher.run("ls -A /var/tmp").ok().out == before
        assert "temporary files" not in researcher.left()
        assert inside("large") not in researcher.command("ces-images").ok().out


def test_nothing_is_left_but_the_image(researcher: User) -> None:
    look = "ls -A ~ /var/tmp; podman ps -aq; podman unshare podman image mount"
    image = inside("plain")
    before = researcher.run(look).ok().out
    predicted(researcher, "--pull", image)
    try:
        assert researcher.run(look).ok().out == before
        assert "temporary files" not in researcher.left()
    finally:
        researcher.command("ces-rm", image)


def test_a_task_predicts_fetches_and_then_changes_nothing(researcher: User, play: Play) -> None:
    image = inside("no-interpreter")
    task = {"tre.ces.ces_check": {"image": image, "pull": True}, "register": "found"}
    told = "found.runners.podman.findings | selectattr('check', 'eq', 'interpreter') | list"
    seen = {
        "ansible.builtin.assert": {"that": ["not found.works", f"({told})[0].level == 'fault'"]}
    }
    unseen = {"ansible.builtin.assert": {"that": ["found.works", f"({told}) == []"]}}
    steps: tuple[tuple[list[str], dict[str, Any], int], ...]
    steps = ((["--check"], unseen, 1), ([], seen, 1), (["--check"], seen, 0), ([], seen, 0))
    try:
        for options, claim, changed in steps:
            done = play("alice", [task, claim], *options)
            assert done.rc == 0, done.said
            assert f"changed={changed}" in done.out
    finally:
        researcher.command("ces-rm", image)


def test_words_of_the_image_command_no_terminal(researcher: User, push_images: Push) -> None:
    script = "#!/bin/\x1b[31msh\necho runs\n"
    push_images([{"name": "tre/check-in-red:1.0", **begins(script)}])
    image = inside("red")
    try:
        done = researcher.run(shlex.join(["ces-check", "--pull", "podman", image]))
        assert done.rc == 1 and "\x1b" not in done.said
        assert r"'/bin/\x1b[31msh'" in done.out
    finally:
        researcher.command("ces-rm", image)
