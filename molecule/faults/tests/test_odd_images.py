# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as builders of all sorts make them: what can be run runs, of others is said why not."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from conftest import Push, User
from engines import RUNNERS
from remote import wait_until

CRUN = ("podman", "oci")
REGISTRY = "registry.tre.test:5000"
# for a processor that this host is not: the kernel looks no further
FOREIGN = "\x7fELF\x01\x01\x01" + "\0" * 9 + "\x02\0\x28\0\x01\0\0\0" + "\0" * 40
START = """#!/bin/sh
echo "$# in $PWD"
echo x >/data/deep/x && ls /data/deep
touch /bin/new && ls /bin/new /bin/sh
"""
RUN_IT = {"Entrypoint": ["/begin"], "Cmd": []}
ECHO = {"Entrypoint": ["/bin/echo", "runs"], "Cmd": []}

IMAGES: dict[str, dict[str, Any]] = {
    # a program beside its working directory, an empty word, volumes with files and without a place
    "start": {
        "config": {
            "Entrypoint": ["./start", ""],
            "WorkingDir": "/opt/app",
            "Volumes": {"/data/deep": {}, "/bin/": {}},
        },
        "files": [{"name": "opt/app/"}, {"name": "opt/app/start", "text": START}],
    },
    "stop": {
        "config": {
            "Entrypoint": ["/bin/sh", "-c"],
            "Cmd": [
                "trap 'echo heard; exit' USR1; trap : TERM; echo on; while :; do sleep 0.1; done"
            ],
            "StopSignal": "SIGUSR1",
        },
    },
    # as nix makes its root
    "closed": {
        "config": {"Entrypoint": ["/bin/echo", "runs"]},
        "files": [{"name": "./", "mode": 0o555}, {"name": "etc/", "mode": 0o555}],
    },
    # as distributions with systemd make theirs
    "dangling": {
        "config": {"Entrypoint": ["/bin/echo", "runs"]},
        "files": [
            {"name": "etc/resolv.conf", "link": "../run/systemd/resolve/stub-resolv.conf"},
            {"name": "etc/hosts", "link": "/none/hosts"},
        ],
    },
    "passwd": {
        "config": {"Entrypoint": ["/bin/id", "-u"], "User": "app"},
        "files": [
            {"name": "store/passwd", "text": "app:x:1234:1234::/home/app:/bin/sh\n"},
            {"name": "etc/passwd", "link": "/store/passwd"},
        ],
    },
    "links": {
        "config": {"Entrypoint": ["/bin/echo", "runs"]},
        "files": [{"name": "scratch", "link": "/none/scratch"}],
    },
    "file": {
        "config": {"Entrypoint": ["/bin/echo", "runs"]},
        "files": [{"name": "scratch", "text": "x"}],
    },
    "foreign": {
        "about": {"architecture": "arm64"},
        "config": {"Entrypoint": ["/bin/app"]},
        "files": [{"name": "bin/app", "text": FOREIGN}],
    },
    "foreign-index": {"about": {"architecture": "arm64"}, "index": 1},
    "index-in-index": {"index": 2},
    "mixed": {"form": "application/vnd.docker.distribution.manifest.v2+json"},
    "hard-link": {"files": [{"name": "bin/same", "same": "bin/busybox"}]},
    "temporary": {
        "config": {"Entrypoint": ["./start"], "Cmd": [], "WorkingDir": "tmp/app"},
        "files": [
            {"name": "tmp/app/"},
            {"name": "tmp/app/start", "text": "#!/bin/sh\ntouch /tmp/x && echo runs\n"},
        ],
    },
    "inside": {
        "config": {
            "Entrypoint": ["/bin/sh", "-c"],
            "Cmd": ["touch here /scratch/deep/v/x && echo runs"],
            "WorkingDir": "/safe_outputs/work",
            "Volumes": {"/scratch/deep/v": {}},
        },
    },
    # as those make them who forget something
    "no-hash-bang": {"config": RUN_IT, "files": [{"name": "begin", "text": "echo runs\n"}]},
    "windows": {
        "config": RUN_IT,
        "files": [{"name": "begin", "text": "#!/bin/sh\r\necho runs\r\n"}],
    },
    "no-right": {
        "config": RUN_IT,
        "files": [{"name": "begin", "text": "#!/bin/sh\n", "mode": 0o644}],
    },
    "nowhere": {
        "config": {**RUN_IT, "WorkingDir": "/work"},
        "files": [{"name": "begin", "text": START}, {"name": "work", "link": "/none/work"}],
    },
    "empty-word": {"config": {"Entrypoint": [""], "Cmd": ["/bin/echo", "runs"]}},
    "empty-program": {"config": {"Entrypoint": [], "Cmd": [""]}},
    "no-program": {"config": RUN_IT, "files": [{"name": "begin/"}]},
    "unknown-user": {"config": {"Entrypoint": ["/bin/id", "-u"], "User": "app"}},
    # a file where an engine or the image itself needs a directory
    "file-in-run": {"config": ECHO, "files": [{"name": "run", "text": "x"}]},
    "file-in-proc": {"config": ECHO, "files": [{"name": "proc", "text": "x"}]},
    "file-in-etc": {"config": ECHO, "files": [{"name": "etc", "text": "x"}]},
    "file-in-workdir": {
        "config": {**ECHO, "WorkingDir": "/work"},
        "files": [{"name": "work", "text": "x"}],
    },
    "file-above-workdir": {
        "config": {**ECHO, "WorkingDir": "/work/here"},
        "files": [{"name": "work", "text": "x"}],
    },
    "file-in-volume": {
        "config": {**ECHO, "Volumes": {"/data": {}}},
        "files": [{"name": "data", "text": "x"}],
    },
    "file-above-volume": {
        "config": {**ECHO, "Volumes": {"/data/here": {}}},
        "files": [{"name": "data", "text": "x"}],
    },
    "far-owner": {"files": [{"name": "far", "text": "x", "owner": 3_000_000}]},
}


ODD_PLACES = ("/w,x", '/w"x', "/w\nx", '/w,"x', "/w:x", "/w $HOME", "/w\\x", "/wä'x", "/deep,er/x")
IMAGES.update(
    {
        f"place-{number}": {
            "config": {
                "Entrypoint": ["/bin/sh", "-c"],
                "Cmd": [f'touch here {shlex.quote(place)}-v/x && printf "%s" "$PWD"'],
                "WorkingDir": place,
                "Volumes": {f"{place}-v": {}},
            }
        }
        for number, place in enumerate(ODD_PLACES)
    }
)
IN_PLACE = "the image has a file where a directory is to be mounted"
NEEDED = "the image has a file where apptainer needs a directory"
NO_PLACE = {
    ("podman", "links"): "the image has a link there that leads nowhere",
    **{
        ("podman", name): IN_PLACE
        for name in ("file", "file-in-run", "file-in-proc", "file-in-etc", "file-in-volume")
    },
    ("podman", "file-above-volume"): IN_PLACE,
    ("apptainer", "file"): IN_PLACE,
    ("apptainer", "file-in-proc"): NEEDED,
    ("apptainer", "file-in-etc"): NEEDED,
}
"""Where an engine makes no place of its own to mount on."""


@pytest.fixture(scope="module")
def researcher(signed_in: User, push_images: Push) -> User:
    """Alice, who has signed in to a registry that has these images."""
    push_images([{"name": f"tre/{name}:1.0", **image} for name, image in IMAGES.items()])
    return signed_in


def pulled(user: User, runner: str, name: str) -> str:
    image = f"{REGISTRY}/tre/{name}:1.0"
    user.command("ces-pull", runner, image).ok()
    return image


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_program_beside_its_working_directory_that_writes_to_its_volumes(
    researcher: User, runner: str
) -> None:
    image = pulled(researcher, runner, "start")
    said = "1 in /opt/app\nx\n/bin/new\n/bin/sh\n"
    assert researcher.command("ces-run", runner, image).ok().out == said
    if runner == "oci":
        line = shlex.join(["ces-run", "oci", "--opt-file", "/dev/stdin", image])
        assert researcher.run(line, stdin="--read-only").ok().out == said
        researcher.run(f"ces-bundle --to start.bundle {image}").ok()
        crun = "crun --cgroup-manager=disabled run --bundle start.bundle start"
        assert researcher.run(crun).ok().out == said
        researcher.run("rm -rf start.bundle").ok()


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_program_is_stopped_by_the_signal_that_its_image_names(
    researcher: User, runner: str
) -> None:
    image = pulled(researcher, runner, "stop")
    number = researcher.last_number() + 1
    run = researcher.host.start(researcher.name, shlex.join(["ces-run", runner, image]))
    log = f"cat ~/.local/state/ces/runs/{number}/output.log"
    wait_until(lambda: researcher.run(log).out == "on\n", "the container")
    researcher.command("ces-stop", str(number)).ok()
    assert run.communicate(timeout=60)[0] == "on\nheard\n"
    assert researcher.record(number)["state"] == "CANCELLED"


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("closed", "runs"),
        ("passwd", {"apptainer": "2001"}),
        ("links", "runs"),
        ("file", "runs"),
        ("temporary", "runs"),
        ("inside", "runs"),
        ("empty-word", "runs"),
        *((name, "runs") for name in IMAGES if name.startswith("file-") and "workdir" not in name),
    ],
)
def test_an_image_that_can_be_run_runs(
    researcher: User, runner: str, name: str, says: dict[str, str] | str
) -> None:
    refusal, image = NO_PLACE.get((runner, name)), f"{REGISTRY}/tre/{name}:1.0"
    if refusal is None:  # a run pulls, too, and apptainer refuses some when it converts them
        pulled(researcher, runner, name)
    done = researcher.command("ces-run", runner, image)
    if refusal is not None:
        assert done.rc == 125
        assert refusal in done.err and "use the runner oci" in done.err
        return
    says = says.get(runner, "1234") if isinstance(says, dict) else says
    assert done.ok().out == f"{says}\n"


@pytest.mark.parametrize("runner", ["podman", "oci"])
def test_an_image_whose_lists_of_names_are_links_that_lead_nowhere(
    researcher: User, runner: str
) -> None:
    image = pulled(researcher, runner, "dangling")
    assert researcher.command("ces-run", runner, image).ok().out == "runs\n"


def test_a_program_for_another_processor_cannot_be_executed(researcher: User) -> None:
    done = researcher.command("ces-run", "podman", pulled(researcher, "podman", "foreign"))
    assert done.rc == 126
    assert "the image is for another processor" in done.err


@pytest.mark.parametrize(
    ("runner", "name", "status", "says"),
    [
        *((runner, "no-hash-bang", 126, "a script without a first line") for runner in CRUN),
        *((runner, "windows", 127, "lines that end as on Windows") for runner in RUNNERS),
        *((runner, "no-right", 126, "chmod +x") for runner in RUNNERS),
        *((runner, "no-program", 126, "a directory where its program") for runner in RUNNERS),
        *((runner, "empty-program", 127, "does not say what to run: give") for runner in RUNNERS),
        *((runner, "file-in-workdir", 125, "to start in") for runner in RUNNERS),
        *((runner, "file-above-workdir", 125, "to start in") for runner in CRUN),
        ("podman", "unknown-user", 126, "--user=0"),
        ("oci", "unknown-user", 125, "--user=0"),
        ("podman", "nowhere", 125, "no such directory to start in"),
    ],
)
def test_a_program_that_cannot_be_started_says_what_it_lacks(
    researcher: User, runner: str, name: str, status: int, says: str
) -> None:
    done = researcher.command("ces-run", runner, pulled(researcher, runner, name))
    assert done.rc == status
    assert says in done.err


@pytest.mark.parametrize(
    ("runner", "name", "option", "says"),
    [
        *((runner, "unknown-user", "--user=0", "0") for runner in CRUN),
        *((runner, "file-in-workdir", "--workdir=/", "runs") for runner in CRUN),
        ("apptainer", "file-in-workdir", "--cwd=/", "runs"),
        *((runner, "file-above-workdir", "--workdir=/", "runs") for runner in CRUN),
    ],
)
def test_what_a_message_says_to_do_cures_it(
    researcher: User, runner: str, name: str, option: str, says: str
) -> None:
    image = pulled(researcher, runner, name)
    line = shlex.join(["ces-run", runner, "--opt-file", "/dev/stdin", image])
    assert researcher.run(line, stdin=option).ok().out == f"{says}\n"


@pytest.mark.parametrize("runner", RUNNERS)
def test_directories_that_an_image_names_may_be_called_anything(
    researcher: User, runner: str
) -> None:
    for number, place in enumerate(ODD_PLACES):
        image = pulled(researcher, runner, f"place-{number}")
        assert researcher.command("ces-run", runner, image).ok().out == place


@pytest.mark.parametrize("runner", RUNNERS)
def test_directories_that_are_mounted_may_be_called_anything(researcher: User, runner: str) -> None:
    names = ["m,c", "m:c", 'm"q', "m\\b", "m\nn", 'a "b",c']
    image, options = pulled(researcher, runner, "place-0"), []
    for number, name in enumerate(names):
        researcher.run(f"mkdir -p {shlex.quote(name)} && echo >{shlex.quote(name)}/{number}").ok()
        source, target = (
            '"' + text.replace('"', '""') + '"'
            for text in (f"src={researcher.home}/{name}", f"dst=/in/{name}")
        )
        options.append("--mount=" + shlex.quote(f"type=bind,{source},{target},ro"))
    script = "ls -d /in/*/? | wc -l; touch /safe_outputs/x /scratch/x && ls /safe_outputs"
    words = ["--outputs", "m,c", "--scratch", 'm"q', "--opt-file", "/dev/stdin", image, script]
    done = researcher.run(shlex.join(["ces-run", runner, *words]), stdin="\n".join(options))
    researcher.run(f"rm -rf {shlex.join(names)}")
    assert done.ok().out.split() == [str(len(names)), "0", "x"]


@pytest.mark.parametrize(
    ("runner", "name", "says"),
    [
        *((runner, "foreign-index", "no variant for this processor") for runner in RUNNERS),
        ("oci", "foreign", "could not use image"),
        ("apptainer", "dangling", "/etc/resolv.conf is no file but a directory, or a link"),
        ("podman", "index-in-index", "which apptainer alone takes"),
        ("oci", "index-in-index", "which apptainer alone takes"),
        ("podman", "mixed", "push it in the OCI form"),
        ("oci", "mixed", "push it in the OCI form"),
        ("podman", "hard-link", "a hard link to a file of another layer"),
        ("podman", "far-owner", "owners beyond your range of subordinate ids"),
    ],
)
def test_an_image_that_an_engine_cannot_have_says_what_to_do(
    researcher: User, runner: str, name: str, says: str
) -> None:
    done = researcher.command("ces-pull", runner, f"{REGISTRY}/tre/{name}:1.0")
    assert done.rc == 125
    assert says in done.err


def test_a_limit_above_ones_own_is_told(researcher: User) -> None:
    line = shlex.join(["ces-run", "podman", "--opt-file", "/dev/stdin", researcher.image])
    done = researcher.run(line, stdin="--ulimit=nofile=99999999:99999999")
    assert done.rc in (125, 126)
    assert "your own limit is lower" in done.err
