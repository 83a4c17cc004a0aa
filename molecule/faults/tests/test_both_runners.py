# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the runners are alike to a researcher, and where they are not.

Every row of the table in docs/researcher.md, "The runners", is a test here.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Play, Push, User
from engines import RUNNERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from remote import Done, wait_until

REGISTRY = "registry.tre.test:5000"
SHELL = f"{REGISTRY}/tre/shell:1.0"
SHELL_OF_A_USER = f"{REGISTRY}/tre/shell-user:1.0"
NO_PROGRAM = f"{REGISTRY}/tre/nothing:1.0"

RECIPES = {
    SHELL: 'ENTRYPOINT ["/bin/sh", "-c"]\nCMD []\nWORKDIR /work',
    SHELL_OF_A_USER: 'ENTRYPOINT ["/bin/sh", "-c"]\nCMD []\nUSER 1000:1000',
    NO_PROGRAM: "ENTRYPOINT []\nCMD []",
}


@pytest.fixture(scope="module")
def researcher(alice: User, site: dict[str, Any]) -> Iterator[User]:
    """Alice, with images that run what they are told, from the registry, for all runners."""
    login = f"podman login --username {site['testbed_registry_user']} --password-stdin {REGISTRY}"
    alice.run(login, stdin=site["testbed_registry_password"]).ok()
    for image, lines in RECIPES.items():
        build = f"podman build --quiet --tag {image} - && podman push --quiet {image}"
        alice.run(build, stdin=f"FROM {alice.image}\n{lines}\n").ok()
    for runner in RUNNERS:
        for image in (alice.image, *RECIPES):
            alice.command("ces-pull", runner, image).ok()
    yield alice
    alice.run(f"podman logout {REGISTRY}").ok()


def says(user: User, runner: str, script: str, *options: str) -> str:
    """What a shell in the container writes."""
    return user.command("ces-run", runner, *options, SHELL, script).ok().out.strip()


IDENTITY = {"podman": "0", "apptainer": "2001", "oci": "0"}
# the image has no /etc/passwd in which podman could look
HOME = {"podman": "/", "apptainer": "/home/alice", "oci": "/"}
IMAGE_USER = {"podman": "1000", "apptainer": "2001", "oci": "1000"}


@pytest.mark.parametrize("runner", RUNNERS)
def test_who_one_is_in_the_container(researcher: User, runner: str) -> None:
    assert says(researcher, runner, "id -u") == IDENTITY[runner]


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_one_writes_is_ones_own_outside(researcher: User, runner: str) -> None:
    record = json.loads(
        researcher.command("ces-run", runner, "--json", SHELL, "echo x >/safe_outputs/x").ok().out
    )
    assert researcher.run(f"stat -c %U {record['outputs']}/x").ok().out == "alice\n"


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_user_that_the_image_names(researcher: User, runner: str) -> None:
    done = researcher.command("ces-run", runner, SHELL_OF_A_USER, "id -u").ok()
    assert done.out.strip() == IMAGE_USER[runner]


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_home_directory_stays_outside(researcher: User, runner: str) -> None:
    researcher.run("touch ~/marker").ok()
    assert says(researcher, runner, "echo $HOME") == HOME[runner]
    assert says(researcher, runner, "ls /home/alice/marker 2>/dev/null || echo none") == "none"


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_home_directory_comes_in_when_asked_for(researcher: User, runner: str) -> None:
    researcher.run("touch ~/marker").ok()
    assert says(researcher, runner, "ls $HOME/marker", "--home") == "/home/alice/marker"


@pytest.mark.parametrize("runner", RUNNERS)
def test_where_one_starts(researcher: User, runner: str) -> None:
    # the image has no such directory: it is made
    assert says(researcher, runner, "echo x >x && pwd") == "/work"
    assert says(researcher, runner, "pwd", "--home") == "/work"


@pytest.mark.parametrize("runner", RUNNERS)
def test_there_is_no_network_unless_asked_for(researcher: User, runner: str) -> None:
    interfaces = "sed -n 's/^ *\\([^:]*\\):.*/\\1/p' /proc/net/dev"
    assert says(researcher, runner, interfaces) == "lo"
    assert "eth0" in says(researcher, runner, interfaces, "--network", "host")


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_password_for_a_proxy_stays_outside(researcher: User, runner: str) -> None:
    proxies = (
        "https_proxy=http://me:Xq7@proxy.example.org HTTP_PROXY=http://me:Xq7@proxy.example.org"
    )
    done = researcher.run(f"{proxies} ces-run {runner} {SHELL} env").ok()
    assert "PATH=" in done.out
    assert "proxy.example.org" not in done.out


@pytest.mark.parametrize("runner", RUNNERS)
def test_no_container_writes_in_the_cgroups_of_its_user(researcher: User, runner: str) -> None:
    look = (
        "for d in $(find /sys/fs/cgroup -type d); do mkdir $d/x && echo $d; done 2>/dev/null; true"
    )
    assert says(researcher, runner, look, "--network", "host") == ""
    assert says(researcher, runner, look) == ""


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_is_mounted_below_data_to_be_read_is_read_only_too(
    researcher: User, runner: str
) -> None:
    place, write = "/safe_data/proj1/below", "touch /safe_data/below/x && echo written"
    root = researcher.host.root
    root(f"mkdir {place} && mount -t tmpfs -o mode=0777 tmpfs {place} && touch {place}/there")
    try:
        done = researcher.command(
            "ces-run", runner, "--read-only", SHELL, f"ls /safe_data/below; {write}"
        )
    finally:
        root(f"umount --lazy {place} && rmdir {place}")
    assert "Read-only file system" in done.err
    assert done.out == "there\n"


@pytest.mark.parametrize("runner", RUNNERS)
def test_everything_in_the_container_can_be_written_and_is_gone(
    researcher: User, runner: str
) -> None:
    assert says(researcher, runner, "touch /new /bin/new /tmp/new && echo ok") == "ok"
    assert says(researcher, runner, "ls /new 2>/dev/null || echo gone") == "gone"


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_limit_that_cannot_be_held_is_one_line(researcher: User, runner: str) -> None:
    done = researcher.command("ces-run", runner, "-m", "1", "-c", "1", SHELL, "true").ok()
    assert done.err.count("limits on cpus and memory are not enforced") == 1


OPTION_FILES = {
    "podman": "--network=none --name=ours\n-m 256m --cpus=1 --http-proxy=false\n"
    "--mount type=tmpfs,destination=/run",
    "apptainer": "--network none --memory 256m --cpus 1",
    "oci": "--net=none --name=ours -m 256m --cpus=1 --read-only=false",
}
"""What people write who have tried their image by hand."""


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_a_run_has_words_for_may_be_said_as_the_engine_says_it(
    researcher: User, runner: str
) -> None:
    script = "sed 1,2d /proc/net/dev | wc -l; grep -c ' /run tmpfs' /proc/mounts"
    words = ["ces-run", runner, "--opt-file", "/dev/stdin", SHELL, f"{script}; true"]
    done = researcher.command(*words, stdin=OPTION_FILES[runner]).ok()
    assert done.out.split() == ["1", "1" if runner == "podman" else "0"]
    record = researcher.record(researcher.last_number())
    assert record["network"] == "none"
    assert (record["resources"]["memory"], record["resources"]["cpus"]) == (256 * 1024**2, 1)
    assert record["name"] == ("ours" if "--name" in OPTION_FILES[runner] else record["name"])


def test_names_are_podmans_alone(researcher: User) -> None:
    started = researcher.start_run("--name", "mine", SHELL, "sleep 60")
    try:
        assert researcher.command("ces-run", "podman", "--name", "mine", SHELL, "true").rc == 125
        for runner in ("apptainer", "oci"):
            assert researcher.command("ces-run", runner, "--name", "mine", SHELL, "true").rc == 0
    finally:
        researcher.command("ces-stop", str(started)).ok()


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("status", [0, 1, 42, 125, 126, 127, 254, 255])
def test_the_exit_status_is_the_containers(researcher: User, runner: str, status: int) -> None:
    done = researcher.command("ces-run", runner, SHELL, f"exit {status}")
    assert done.rc == status
    if status:
        assert f"the container exited with {status}" in done.err


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(
    ("program", "status"), [("nothing", 127), ("/bin/nothing", 127), ("/etc/passwd", 126)]
)
def test_a_program_that_is_not_there_or_cannot_be_executed(
    researcher: User, runner: str, program: str, status: int
) -> None:
    done = researcher.command("ces-run", runner, NO_PROGRAM, program)
    assert done.rc == status, done.said
    assert "FAILED: " in done.err


@pytest.mark.parametrize("runner", RUNNERS)
def test_standard_input_is_empty(researcher: User, runner: str) -> None:
    line = shlex.join(["ces-run", runner, SHELL, "cat; echo end"])
    assert researcher.run(line, stdin="input").ok().out == "end\n"


@pytest.mark.parametrize("runner", RUNNERS)
def test_signals_reach_the_containers_first_process_and_the_run_goes_on(
    researcher: User, runner: str
) -> None:
    """As `podman run` has it: what is no request to stop is the container's (a checkpoint, say)."""
    names = ("USR1", "USR2", "ALRM", "XCPU", "ABRT", "40", "USR1")
    traps = "; ".join(f"trap 'echo got {name}' {name}" for name in {*names})
    script = f"{traps}; trap 'exit 7' PWR; echo ready; while :; do sleep 0.1; done"
    number = researcher.last_number() + 1
    line = shlex.join(["ces-run", runner, SHELL, script])
    child = researcher.host.start(researcher.name, f"{line}; echo status $?")

    def said() -> list[str]:
        return researcher.run(f"cat ~/.local/state/ces/runs/{number}/output.log").out.splitlines()

    wait_until(lambda: "ready" in said(), "the container's program")
    pid = researcher.record(number)["pid"]
    for count, name in enumerate(names, 1):
        researcher.run(f"kill -{name} {pid}").ok()
        wait_until(lambda: len(said()) > count, f"{name} to arrive")  # noqa: B023
    researcher.run(f"kill -PWR {pid}").ok()
    out, err = child.communicate(timeout=30)
    assert said() == ["ready", *(f"got {name}" for name in names)]
    assert "status 7" in out and "the container exited with 7" in err
    assert researcher.left() == {}


@pytest.mark.parametrize("runner", ["podman", "oci"])
def test_a_signal_for_the_container_at_any_moment_does_not_end_the_run(
    researcher: User, runner: str
) -> None:
    """From before we can hear it, when it ends the command and there is no run, to the end."""
    before = researcher.last_number()
    argv = ["ces-run", runner, SHELL, "sleep 0.2"]
    delays = [0.05 * step for step in range(16)]
    statuses = researcher.host.ask(
        researcher.name, "kill_each", argv=argv, signal=10, delays=delays
    )
    numbers = range(before + 1, researcher.last_number() + 1)
    assert {*statuses} <= {0, -10}
    assert len(numbers) == statuses.count(0) > 0
    assert {researcher.record(number)["state"] for number in numbers} == {"COMPLETED"}


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_timeout_ends_it_and_leaves_nothing(researcher: User, runner: str) -> None:
    done = researcher.command("ces-run", runner, "--timeout", "1s", SHELL, "sleep 60")
    assert done.rc == 124
    assert "TIMEOUT" in done.err
    assert researcher.left() == {}
    assert researcher.run("pgrep -a -u $(id -u) 'squashfuse|fuse-overlayfs|sleep'").out == ""


@pytest.mark.parametrize("runner", ["apptainer", "oci"])
def test_a_container_that_ignores_signals_is_killed(researcher: User, runner: str) -> None:
    script = "trap '' TERM; while :; do sleep 1; done"
    done = researcher.command("ces-run", runner, "--timeout", "1s", SHELL, script)
    assert done.rc == 124
    assert researcher.run("pgrep -a -u $(id -u) 'squashfuse|fuse-overlayfs|sleep'").out == ""


@pytest.mark.parametrize("runner", RUNNERS)
def test_arguments_arrive_as_they_are(researcher: User, runner: str) -> None:
    awkward = ["a b", "$HOME", "`id`", "$(id)", "'", '"', "\\", "*", "", "#x", "ü", "-n", "--x=y"]
    script = 'shift 0; for word; do printf "<%s>" "$word"; done'
    done = researcher.command("ces-run", runner, SHELL, script, "name", *awkward).ok()
    assert done.out == "".join(f"<{word}>" for word in awkward)


IMAGE_VARIABLES = {
    "PRICE": "US$5",
    "JSON": '{"a": 1}',
    "Q": "$(id -un)",
    "BACKQUOTE": "a`b",
    "BACKSLASH": "a\\nb\\",
    "QUOTES": 'it\'s "so"',
    "LINES": "one\ntwo\n",
    "EMPTY": "",
    "TWICE": "the last",
    "PATH": "/opt/none:/bin",
    "ODD.NAME-1": "x $y",
}


@pytest.fixture(scope="module")
def variables(researcher: User, push_images: Push) -> str:
    """An image with these variables, which shows what it got."""
    entries = ["TWICE=the first", *(f"{name}={value}" for name, value in IMAGE_VARIABLES.items())]
    config = {"Env": entries, "Entrypoint": ["/bin/base64", "/proc/self/environ"]}
    (image,) = push_images([{"name": "tre/variables:1.0", "config": config}])
    for runner in RUNNERS:
        researcher.command("ces-pull", runner, image).ok()
    return image


def shown(done: Done) -> dict[str, str]:
    """The variables that a container had."""
    environ = base64.b64decode("".join(done.ok().out.split())).decode().split("\0")
    return dict(entry.split("=", 1) for entry in environ if entry)


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_images_variables_mean_the_same_under_all(
    researcher: User, variables: str, runner: str
) -> None:
    done = researcher.command("ces-run", runner, variables)
    found, wanted = shown(done), dict(IMAGE_VARIABLES)
    if runner == "apptainer":
        del wanted["ODD.NAME-1"]
        assert "passes over variables of the image: ODD.NAME-1" in done.err
    assert {name: found.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("runner", RUNNERS)
def test_names_of_variables_with_dots_and_dashes(
    researcher: User, variables: str, runner: str
) -> None:
    line = shlex.join(["ces-run", runner, "--env-file", "/dev/stdin", variables])
    done = researcher.run(line, stdin="discovery.type=single-node\n")
    if runner == "apptainer":
        assert done.rc == 125
        assert "apptainer passes on only names of letters, digits and _" in done.err
    else:
        assert shown(done)["discovery.type"] == "single-node"


VALUES = st.text(
    alphabet=st.characters(
        min_codepoint=32, exclude_characters="\x7f\x85\u2028\u2029", exclude_categories=["Cs", "Cc"]
    ),
    max_size=30,
)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(VALUES, min_size=20, max_size=40))
def test_an_env_file_means_the_same_under_all(researcher: User, values: list[str]) -> None:
    tricky = [
        "a b",
        "$HOME",
        "`id`",
        "$(id)",
        "it's",
        'say "x"',
        "\\",
        "a#b",
        " # c",
        "=",
        "a=b=c",
        "ü€",
        "\t x ",
    ]
    wanted = {f"V{number}": value for number, value in enumerate([*tricky, *values])}
    # in quotes, so that quotes at both ends of a value are its own
    text = "".join(f"{name}='{value}'\n" for name, value in wanted.items())
    for runner in RUNNERS:
        command = shlex.join(
            ["ces-run", runner, "--env-file", "/dev/stdin", SHELL, "base64 /proc/self/environ"]
        )
        out = researcher.run(command, stdin=text).ok().out
        environ = base64.b64decode("".join(out.split())).decode().split("\0")
        found = dict(entry.split("=", 1) for entry in environ if entry)
        assert {name: found.get(name) for name in wanted} == wanted, runner


@pytest.mark.parametrize("name", ["HOME", "UID", "GID", "EUID", "PREPEND_PATH"])
def test_a_variable_that_apptainer_keeps_is_refused(researcher: User, name: str) -> None:
    command = shlex.join(["ces-run", "apptainer", "--env-file", "/dev/stdin", SHELL, "true"])
    done = researcher.run(command, stdin=f"{name}=x\n")
    assert done.rc == 125
    assert f"'{name}'" in done.err
    assert "keeps that name for itself" in done.err


def test_the_callers_own_settings_of_apptainer_do_not_act(researcher: User) -> None:
    script = "ls /hostetc 2>/dev/null || echo none; echo $Z"
    line = shlex.join(["ces-run", "apptainer", SHELL, script])
    settings_of_the_caller = "APPTAINER_BIND=/etc:/hostetc APPTAINERENV_Z=z SINGULARITYENV_Z=z"
    assert researcher.run(f"{settings_of_the_caller} {line}").ok().out == "none\n\n"


def test_an_image_that_does_not_say_what_to_run(researcher: User) -> None:
    for runner in ("apptainer", "oci"):
        pulled = researcher.command("ces-pull", runner, "--force", NO_PROGRAM).ok()
        assert "does not say what to run" in pulled.err
    for runner in RUNNERS:
        line = shlex.join(["ces-run", runner, "--env-file", "/dev/stdin", NO_PROGRAM])
        done = researcher.run(line, stdin="TOKEN=s3cret\n")
        assert (done.rc, done.out) == (127 if runner == "podman" else 125, "")
        assert "give arguments" in done.err
        assert researcher.command("ces-run", runner, NO_PROGRAM, "/bin/echo", "x").ok().out == "x\n"


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_same_by_playbook(researcher: User, play: Play, runner: str) -> None:
    task = {
        "tre.ces.ces_run": {
            "image": SHELL,
            "runner": runner,
            "args": ['echo "$A"; id -u'],
            "env": {"A": "x $HOME `id`"},
        },
        "register": "run",
    }
    said = {"ansible.builtin.debug": {"msg": "STDOUT {{ run.stdout | b64encode }} {{ run.state }}"}}
    done = play("alice", [task, said]).ok()
    wanted = base64.b64encode(f"x $HOME `id`\n{IDENTITY[runner]}\n".encode()).decode()
    assert f"STDOUT {wanted} COMPLETED" in done.out


MOMENT = r"\d{4}-\d\d-\d\dT[\d:]{8}Z"


def test_all_kinds_of_images_are_listed_and_removed(researcher: User) -> None:
    listed = researcher.command("ces-images").ok().out.splitlines()
    runners = {line.split()[1] for line in listed if line.startswith(f"{NO_PROGRAM} ")}
    assert runners == set(RUNNERS)
    for line in listed[1:]:
        created, used = line.split()[-2:]
        assert re.fullmatch(MOMENT, created), line
        assert re.fullmatch(MOMENT, used) or used == "-", line
    done = researcher.command("ces-rm", NO_PROGRAM).ok()
    assert "podman, apptainer, oci" in done.out
    assert NO_PROGRAM not in researcher.command("ces-images").ok().out
    for runner in RUNNERS:  # for whoever comes next
        researcher.command("ces-pull", runner, NO_PROGRAM).ok()
