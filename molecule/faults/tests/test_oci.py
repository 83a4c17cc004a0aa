# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers from bundles: what they are shut into, what is left of them, and bundles that stay."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Play, User
from remote import wait_until

REGISTRY = "registry.tre.test:5000"
SHELL = f"{REGISTRY}/tre/oci-shell:1.0"
STATUS = {"TERM": 143, "INT": 130, "HUP": 129}
STORE = "/var/lib/tre-ces/containers/{uid}/data/ces/bundles"


def store_of(user: User) -> str:
    return STORE.format(uid=user.uid)


@pytest.fixture(scope="module")
def shell(alice: User, site: dict[str, Any]) -> Iterator[User]:
    """Alice, with the image and with one that runs what it is told."""
    login = f"podman login --username {site['testbed_registry_user']} --password-stdin {REGISTRY}"
    alice.run(login, stdin=site["testbed_registry_password"]).ok()
    build = f"podman build --quiet --tag {SHELL} - && podman push --quiet {SHELL}"
    alice.run(build, stdin=f'FROM {alice.image}\nENTRYPOINT ["/bin/sh", "-c"]\nCMD []\n').ok()
    for image in (alice.image, SHELL):
        alice.command("ces-pull", "oci", image).ok()
    yield alice
    alice.run(f"podman logout {REGISTRY}").ok()


def says(user: User, script: str, *options: str) -> str:
    return user.command("ces-run", "oci", *options, SHELL, script).ok().out.strip()


def processes(user: User) -> str:
    return user.run("pgrep -a -u $(id -u) 'hello-tre|sleep|crun|ces-|skopeo|umoci'").out


def left(user: User) -> dict[str, str]:
    """What runs and pulls may leave behind; empty when they left nothing."""
    rooms = user.run(f"ls -d {store_of(user)}/ces-* 2>/dev/null").out
    crun = user.run("ls /run/user/$(id -u)/ces/crun").out
    notes = user.run("ls /run/user/$(id -u)/ces | grep transfer").out
    found = {"rooms": rooms, "containers": crun, "notes": notes, "processes": processes(user)}
    return {name: what for name, what in {**user.left(), **found}.items() if what}


def begin(user: User) -> int:
    """Start a long run in the background; its number, when its container runs."""
    number = user.last_number() + 1
    line = shlex.join(["ces-run", "oci", user.image, "-d", "60"])
    # in the foreground: what a shell puts behind it ignores SIGINT
    user.host.start(user.name, f"{line} >/dev/null 2>&1 </dev/null")
    wait_until(lambda: "hello-tre" in processes(user), f"run {number} to start")
    wait_until(lambda: "Sleeping" in log(user, number), f"the container of run {number}")
    return number


def log(user: User, number: int) -> str:
    return user.run(f"cat ~/.local/state/ces/runs/{number}/output.log").out


def kill(user: User, number: int, name: str) -> None:
    user.run(f"kill -{name} {user.record(number)['pid']}").ok()


@pytest.mark.parametrize("name", STATUS)
def test_a_signal_stops_the_container_gently_and_clears_away(shell: User, name: str) -> None:
    number = begin(shell)
    kill(shell, number, name)
    wait_until(lambda: shell.record(number)["state"] != "RUNNING", "the end of the run")
    record = shell.record(number)
    assert (record["state"], record["rc"]) == ("CANCELLED", STATUS[name])
    assert "Ended by SIGTERM" in log(shell, number)
    wait_until(lambda: left(shell) == {}, "everything to be cleared away", 5)


def test_ces_stop_stops_it(shell: User) -> None:
    number = begin(shell)
    shell.command("ces-stop", str(number)).ok()
    assert shell.record(number)["state"] == "CANCELLED"
    assert left(shell) == {}


def test_after_sigkill_ces_clean_clears_away(shell: User) -> None:
    number = begin(shell)
    kill(shell, number, "KILL")
    pid = shell.record(number)["pid"]
    wait_until(lambda: shell.run(f"kill -0 {pid}").rc != 0, "the end of ces-run")
    assert {"rooms", "containers", "processes", "scratch", "secrets"} <= set(left(shell))
    done = shell.command("ces-clean").ok()
    assert f"run {number}: cleared away" in done.out
    assert left(shell) == {}
    assert shell.record(number)["state"] == "CANCELLED"


def test_a_runtime_that_is_killed_takes_its_container_along(shell: User) -> None:
    number = begin(shell)
    shell.run("pkill -KILL -u alice -f '^crun .* run '").ok()
    wait_until(lambda: shell.record(number)["state"] != "RUNNING", "the end of the run")
    assert shell.record(number)["state"] == "FAILED"
    wait_until(lambda: left(shell) == {}, "everything to be cleared away", 5)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["KILL", "TERM"])
def test_a_signal_at_any_moment_of_a_run_leaves_nothing(shell: User, number: int) -> None:
    """Every 10 ms from the start of the command to after the start of the container."""
    argv = ["ces-run", "oci", shell.image, "-d", "60"]
    delays = [0.01 * step for step in range(1, 25)]
    shell.host.ask(shell.name, "kill_each", argv=argv, signal=int(number), delays=delays)
    shell.command("ces-clean").ok()
    assert left(shell) == {}
    states = shell.run("grep -h '\"state\"' ~/.local/state/ces/runs/*/run.json").out
    assert "RUNNING" not in states


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["KILL", "TERM"])
def test_a_signal_at_any_moment_of_a_pull_leaves_nothing(shell: User, number: int) -> None:
    argv = ["ces-pull", "oci", "--force", shell.image]
    delays = [0.025 * step for step in range(1, 17)]
    shell.host.ask(shell.name, "kill_each", argv=argv, signal=int(number), delays=delays)
    shell.command("ces-clean").ok()
    assert left(shell) == {}
    shell.command("ces-run", "oci", shell.image).ok()


def test_a_hundred_runs_at_once(shell: User) -> None:
    line = shlex.join(["ces-run", "oci", "--json", SHELL, "echo x >/bin/x && cat /bin/x"])
    done = shell.run(f"seq 100 | xargs -P 10 -I@ {line} | grep -c COMPLETED", timeout=180)
    assert done.out == "100\n"
    assert left(shell) == {}


def test_of_many_pulls_at_once_one_transfers(shell: User) -> None:
    shell.command("ces-rm", "oci", SHELL).ok()
    line = shlex.join(["ces-pull", "oci", SHELL])
    done = shell.run(f"seq 8 | xargs -P 8 -I@ {line} 2>&1").ok()
    assert done.out.count("unpacked image rootfs") == 1
    assert left(shell) == {}


def test_what_the_container_is_shut_into(shell: User) -> None:
    status = says(shell, "cat /proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[f"Cap{kind}"].strip("0") for kind in ("Prm", "Eff", "Bnd", "Amb")} == {""}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert says(shell, "cat /proc/self/uid_map").split() == ["0", str(shell.uid), "1"]
    assert says(shell, "ls -d /proc/[0-9]* | wc -l") in ("1", "2", "3", "4")
    assert says(shell, "ls /home /var 2>/dev/null | wc -l") == "0"
    assert says(shell, "cat /proc/1/environ | tr '\\0' '\\n' | grep -c DBUS; true") == "0"
    assert says(shell, "cat /etc/hosts | head -n 1").startswith("127.0.0.1 localhost")


def test_what_is_written_never_reaches_the_image(shell: User) -> None:
    script = "rm -rf /etc && mkdir /etc && echo new >/etc/new && rm /bin/vi && ls -A /etc"
    # the layer hides what was below; podman's file of hosts cannot be removed either
    shell.command("ces-run", "oci", SHELL, script)
    assert "vi" in says(shell, "ls /bin").split()
    assert says(shell, "ls /etc/new 2>/dev/null || echo none") == "none"


def test_a_read_only_root(shell: User) -> None:
    options = ("--opt-file", "/dev/stdin", SHELL)
    script = "touch /bin/x 2>/dev/null || touch /x 2>/dev/null || touch /tmp/x && echo only tmp"
    line = shlex.join(["ces-run", "oci", *options, script])
    assert shell.run(line, stdin="--read-only").ok().out == "only tmp\n"


def test_more_directories_are_mounted_where_they_are_asked_for(shell: User) -> None:
    shell.run("mkdir -p ~/models && echo m >~/models/m").ok()
    options = "-v ${HOME}/models:/opt/deep/models:ro\n-v ${HOME}/models:/bin/models\n"
    script = "cat /opt/deep/models/m /bin/models/m; touch /opt/deep/models/x 2>/dev/null; echo $?"
    line = shlex.join(["ces-run", "oci", "--opt-file", "/dev/stdin", SHELL, script])
    assert shell.run(line, stdin=options).ok().out == "m\nm\n1\n"


def test_an_option_that_no_bundle_can_have_is_refused(shell: User) -> None:
    line = shlex.join(["ces-run", "oci", "--opt-file", "/dev/stdin", SHELL, "true"])
    done = shell.run(line, stdin="--privileged")
    assert (done.rc, "the option is not allowed" in done.err) == (125, True)
    done = shell.command("ces-run", "oci", "--gpu", SHELL, "true")
    assert (done.rc, "only engines that know GPUs" in done.err) == (125, True)


def test_a_program_that_is_not_there_or_cannot_be_executed(shell: User) -> None:
    for program, status in (("/bin/nothing", 127), ("nothing", 127), ("/etc/passwd", 126)):
        line = shlex.join(["ces-run", "oci", "--opt-file", "/dev/stdin", SHELL])
        done = shell.run(line, stdin=f"--entrypoint={program}")
        assert done.rc == status, done.said
        assert "FAILED: crun: " in done.err


def test_an_image_that_a_run_uses_is_not_removed(shell: User) -> None:
    number = begin(shell)
    done = shell.command("ces-rm", "oci", shell.image)
    assert (done.rc, "a run uses it" in done.err) == (125, True)
    shell.command("ces-stop", str(number)).ok()
    shell.command("ces-rm", "oci", shell.image).ok()
    assert left(shell) == {}
    shell.command("ces-pull", "oci", shell.image).ok()


def test_a_damaged_image_is_told_and_pulled_again(shell: User) -> None:
    directory = shell.run(f"readlink -f {store_of(shell)}/names/*oci-shell*").out.strip()
    shell.run(f"echo {{ >{directory}/image.json").ok()
    done = shell.command("ces-run", "oci", SHELL, "true")
    assert done.rc == 125
    assert f"use the image {directory}" in done.err
    assert "pull the image again" in done.err
    shell.command("ces-pull", "oci", SHELL).ok()
    assert says(shell, "echo ok") == "ok"


@pytest.fixture
def shared(shell: User, bob: User, site: dict[str, Any]) -> Iterator[User]:
    """A store for all, kept by bob, while the policy says so."""
    policy = "/etc/ces/policy.json"
    before = shell.host.root(f"cat {policy}")
    changed = {**json.loads(before), "bundle_dir": "/srv/bundles"}
    shell.host.root(f"install -d -o bob -m 755 /srv/bundles; cat >{policy}", json.dumps(changed))
    words = ["ces-pull", "oci", "--username", site["testbed_registry_user"], "--password-stdin"]
    bob.command(*words, SHELL, stdin=site["testbed_registry_password"]).ok()
    yield bob
    shell.host.root(f"cat >{policy}; rm -rf /srv/bundles", before)


def test_an_image_that_somebody_else_has_unpacked_for_all(shell: User, shared: User) -> None:
    shell.command("ces-rm", "oci", SHELL)
    assert says(shell, "id -u; touch /new /tmp/new /bin/new && echo written") == "0\nwritten"
    assert says(shell, "echo x 2>/dev/null >>/etc/passwd || echo refused") == "refused"
    assert shell.command("ces-rm", "oci", SHELL).rc == 125
    assert shell.run("ls /srv/bundles").out.split() == ["digests", "locks", "names"]
    shared.command("ces-rm", "oci", SHELL).ok()
    shell.command("ces-pull", "oci", SHELL).ok()


def test_a_bundle_that_stays_is_run_by_anything_and_by_many_at_once(shell: User) -> None:
    line = f"ces-bundle --to kept.bundle --outputs ~/kept-outputs {SHELL}"
    assert (
        shell.run(f"{line} 'id -u; touch /safe_outputs/$$'").ok().out == "/home/alice/kept.bundle\n"
    )
    crun = "crun --cgroup-manager=disabled run --bundle kept.bundle kept-@"
    done = shell.run(f"seq 10 | xargs -P 5 -I@ {crun}").ok()
    assert done.out == "0\n" * 10
    assert shell.run("stat -c %U ~/kept-outputs/*").out == "alice\n"
    again = f"{line} --dry-run 'id -u; touch /safe_outputs/$$'"
    assert shell.run(again).rc in (0, 125)
    shell.run("rm -rf kept.bundle kept-outputs").ok()


def test_a_bundle_by_task_in_check_mode_and_for_real_twice(shell: User, play: Play) -> None:
    task = {"tre.ces.oci_bundle": {"image": SHELL, "path": "~/task.bundle", "copy": True}}
    changes = []
    for options in (["--check", "--diff"], [], ["--check"], []):
        done = play("alice", [task], *options).ok()
        changes.append("changed=1" in done.out)
    assert changes == [True, True, False, False]
    run = "crun --cgroup-manager=disabled run --bundle ~/task.bundle task"
    assert shell.run(run).rc == 2  # sh -c without a command
    shell.run("rm -rf ~/task.bundle").ok()


def test_ces_images_lists_it_and_what_it_takes(shell: User) -> None:
    listed = json.loads(shell.command("ces-images", "--json").ok().out)
    (found,) = [image for image in listed if image["runner"] == "oci" and SHELL in image["names"]]
    assert found["size"] > 1_000_000
    assert found["file"].startswith(store_of(shell))
