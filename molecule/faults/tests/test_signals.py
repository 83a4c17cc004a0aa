# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands and modules that are told to end, or simply killed: nothing of the run stays behind."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import yaml
from conftest import ANSIBLE_ENVIRONMENT, TOP, User, ansible_playbook
from remote import wait_until

STATUS = {"TERM": 143, "INT": 130, "HUP": 129, "QUIT": 131}


def signal_run(user: User, number: int, name: str) -> None:
    """The signal goes to the process that answers for the run: ces-run, or the module."""
    user.run(f"kill -{name} {user.record(number)['pid']}").ok()


def await_end_of(user: User, number: int) -> None:
    pid = user.record(number)["pid"]
    wait_until(lambda: user.run(f"kill -0 {pid}").rc != 0, f"process {pid} to end")


@pytest.mark.parametrize("name", STATUS)
def test_a_signal_to_ces_run_stops_the_container_and_clears_away(alice: User, name: str) -> None:
    line = shlex.join(["ces-run", "podman", alice.image, "-d", "60"])
    number = alice.last_number() + 1
    child = alice.host.start(alice.name, f"{line}; echo status $?")
    wait_until(alice.containers, "the container")
    signal_run(alice, number, name)
    out, err = child.communicate(timeout=30)
    assert f"status {STATUS[name]}" in out
    assert f"CANCELLED: stopped by SIG{name}" in err
    record = alice.record(number)
    assert (record["state"], record["rc"]) == ("CANCELLED", STATUS[name])
    assert "Ended by SIGTERM" in out, "the container was stopped gently"
    assert alice.left() == {}


def test_ctrl_z_does_not_suspend_who_watches_the_time(alice: User) -> None:
    """A shell with job control: only such a shell's jobs can be suspended."""
    line = shlex.join(["ces-run", "podman", "--timeout", "3s", alice.image, "-d", "60"])
    number = alice.last_number() + 1
    child = alice.host.start(alice.name, f"set -m; {line} & wait $!; echo status $?")
    wait_until(alice.containers, "the container")
    signal_run(alice, number, "TSTP")
    out, err = child.communicate(timeout=30)
    assert "status 124" in out
    assert "TIMEOUT: it ran longer than the timeout of 3 s" in err
    assert alice.left() == {}


def test_a_container_that_does_not_want_to_end_is_killed(alice: User) -> None:
    line = "ces-run podman --opt-file sh {} -c 'trap \"\" TERM INT; sleep 100 & wait; sleep 100'"
    alice.command("tee", "sh", stdin="--entrypoint=/bin/sh").ok()
    number = alice.last_number() + 1
    child = alice.host.start(alice.name, f"{line.format(alice.image)}; echo status $?")
    wait_until(alice.containers, "the container")
    signal_run(alice, number, "TERM")
    out, _err = child.communicate(timeout=30)
    assert "status 143" in out
    assert alice.left() == {}


def test_podman_itself_finds_and_stops_a_container_that_has_no_cgroup(alice: User) -> None:
    """Users have no controller here, so podman makes none: the container is where podman is."""
    number = alice.last_number() + 1
    words = "ces-run podman --opt-file sh {} -c 'setsid sleep 4321 & exec /bin/hello-tre -d 60'"
    alice.command("tee", "sh", stdin="--entrypoint=/bin/sh").ok()
    child = alice.host.start(alice.name, f"{words.format(alice.image)}; echo status $?")
    wait_until(lambda: alice.run("pgrep -x sleep").rc == 0, "the container's own child")
    (pid,) = alice.run("podman inspect -l --format '{{.State.Pid}}'").ok().out.split()
    assert "libpod" not in alice.run(f"cat /proc/{pid}/cgroup").ok().out
    assert alice.run("podman ps --format '{{.Names}}'").ok().out == f"ces-{number}\n"
    alice.run(f"podman stop ces-{number}").ok()
    out, _err = child.communicate(timeout=30)
    assert "Ended by SIGTERM" in out and "status 143" in out
    assert alice.run("pgrep -f 'sleep 4321'").out == "", "all of it ends with its first process"
    assert alice.left() == {}


def test_after_sigkill_ces_clean_clears_away(alice: User) -> None:
    number = alice.start_run(alice.image, "-d", "60")
    signal_run(alice, number, "KILL")
    await_end_of(alice, number)
    assert {"containers", "scratch", "secrets", "dead runs"} <= set(alice.left())
    done = alice.command("ces-clean").ok()
    assert f"run {number}: cleared away" in done.out
    assert alice.left() == {}
    record = alice.record(number)
    assert record["state"] == "CANCELLED"
    assert "was killed" in record["reason"]
    assert alice.command("ces-clean").ok().out == "nothing to clear away\n"


def test_after_sigkill_the_next_run_clears_away_and_leaves_the_living_alone(alice: User) -> None:
    living = alice.start_run(alice.image, "-d", "60")
    dead = alice.start_run(alice.image, "-d", "60")
    wait_until(lambda: len(alice.containers()) == 2, "two containers")
    signal_run(alice, dead, "KILL")
    await_end_of(alice, dead)
    alice.shell_in_container("true").ok()
    assert len(alice.containers()) == 1
    assert alice.record(living)["state"] == "RUNNING"
    assert alice.record(dead)["state"] == "CANCELLED"
    alice.command("ces-stop", str(living)).ok()
    assert alice.left() == {}


def test_nobody_sweeps_the_runs_of_others(alice: User, bob: User) -> None:
    number = alice.start_run(alice.image, "-d", "60")
    signal_run(alice, number, "KILL")
    await_end_of(alice, number)
    bob.command("ces-run", "podman", "--project", "proj1", bob.image).ok()
    assert len(alice.containers()) == 1
    alice.command("ces-clean").ok()
    assert alice.left() == {}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["KILL", "TERM"])
def test_a_signal_at_any_moment_of_a_run_leaves_nothing(alice: User, number: int) -> None:
    """Every 30 ms from the start of the command to after the start of the container."""
    argv = ["ces-run", "podman", alice.image, "-d", "60"]
    delays = [0.03 * step for step in range(1, 19)]
    alice.host.ask(alice.name, "kill_each", argv=argv, signal=int(number), delays=delays)
    alice.command("ces-clean").ok()
    assert alice.left() == {}
    states = alice.run("grep -h '\"state\"' ~/.local/state/ces/runs/*/run.json").out
    assert "RUNNING" not in states


def test_an_engine_that_is_killed_is_told_and_leaves_nothing(alice: User) -> None:
    number = alice.start_run(alice.image, "-d", "60")
    alice.run("pkill -KILL -u alice -f '^podman run '").ok()
    wait_until(lambda: alice.record(number)["state"] != "RUNNING", "the end of the run")
    assert alice.record(number)["state"] == "FAILED"
    wait_until(lambda: alice.left() == {}, "everything to be cleared away", 5)


class Task:
    """A playbook that runs one long container as a task."""

    def __init__(self, user: User, directory: Path, **params: object) -> None:
        params = params or {"args": ["-d", "60"]}
        task = {"tre.ces.ces_run": {"image": user.image, **params}}
        play = {"hosts": "ces_backends", "gather_facts": False, "tasks": [task]}
        play |= {"become": True, "become_user": user.name}
        file = directory / "play.yml"
        file.write_text(yaml.safe_dump([play]))
        self.number = user.last_number() + 1
        self.process = subprocess.Popen(
            ansible_playbook(file),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=TOP,
            env=ANSIBLE_ENVIRONMENT,
            start_new_session=True,
        )
        wait_until(user.containers, "the task's container")

    def said(self) -> str:
        out, _none = self.process.communicate(timeout=60)
        return out


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_a_signal_to_the_module_stops_the_container_and_clears_away(
    alice: User, tmp_path: Path, name: str
) -> None:
    task = Task(alice, tmp_path)
    signal_run(alice, task.number, name)
    said = task.said()
    assert task.process.returncode == 2
    assert f"CANCELLED: stopped by SIG{name}" in said
    assert alice.record(task.number)["state"] == "CANCELLED"
    assert alice.left() == {}


def test_a_signal_to_the_module_reaches_the_container(alice: User, tmp_path: Path) -> None:
    script = "trap 'echo saved; exit 0' USR1; echo ready; while :; do sleep 0.1; done"
    task = Task(alice, tmp_path, options=["--entrypoint=/bin/sh"], args=["-c", script])
    log = f"~/.local/state/ces/runs/{task.number}/output.log"
    wait_until(lambda: "ready" in alice.run(f"cat {log}").out, "the container's program")
    signal_run(alice, task.number, "USR1")
    said = task.said()
    assert task.process.returncode == 0, said
    assert alice.record(task.number)["state"] == "COMPLETED"
    assert alice.run(f"cat {log}").ok().out == "ready\nsaved\n"


def test_after_sigkill_to_the_module_the_next_run_clears_away(alice: User, tmp_path: Path) -> None:
    task = Task(alice, tmp_path)
    signal_run(alice, task.number, "KILL")
    task.said()
    assert task.process.returncode != 0
    alice.shell_in_container("true").ok()
    assert alice.left() == {}
    assert alice.record(task.number)["state"] == "CANCELLED"


def test_a_controller_that_is_killed_leaves_a_run_that_can_be_stopped(
    alice: User, tmp_path: Path
) -> None:
    """Nothing of a killed playbook reaches the back-end: the run goes on, is listed, and ends."""
    task = Task(alice, tmp_path)
    os.killpg(task.process.pid, signal.SIGKILL)
    threading.Thread(target=task.process.communicate).start()
    assert "RUNNING" in alice.command("ces-runs", "--limit", "1").ok().out
    alice.command("ces-stop", str(task.number)).ok()
    assert alice.left() == {}
