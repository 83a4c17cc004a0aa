# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that are made when a run needs one (podman_lingering: on_demand), and ended."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator

import pytest
import yaml
from conftest import JOB, SITE, Play, Slurms, playbook
from remote import Done, Host, wait_until
from test_ansible import recap

USER, UID = "user9", 2019
BUSY, BUSY_UID = "user8", 2018
IMAGE = SITE["testbed_image"]
RUNTIME = f"/run/user/{UID}"
KEPT, NOTED = "/var/lib/systemd/linger", "/var/lib/tre-ces/lingering"
SOCKET = "/run/tre-ces/session"
LOGIND = "/etc/systemd/logind.conf.d/test.conf"
KEEPS = 2
"""Seconds that systemd keeps a session here that nothing holds (10 by default)."""

Switch = Callable[..., Done]


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Switch:
    """``switch("on_demand", OPTION, ...)``: the role podman, for two users."""
    role = {
        "role": "tre.ces.podman",
        "podman_users": [USER, BUSY],
        "podman_registries": "{{ ces_registries_allowed }}",
        "podman_verify_users": [],
    }
    play = [{"hosts": "ces_backends", "become": True, "roles": [role]}]
    file = tmp_path_factory.mktemp("play") / "podman.yml"
    file.write_text(yaml.safe_dump(play))

    def run(lingering: str, *options: str) -> Done:
        done = playbook(file, f"--extra-vars=podman_lingering={lingering}", *options)
        assert done.rc == 0, done.said
        return done

    return run


@pytest.fixture(scope="module")
def on_demand(backend: Host, switch: Switch) -> Iterator[dict[str, Done]]:
    """The host that kept sessions makes them on demand; what the role said, try by try."""
    quick = f"printf '[Login]\\nUserStopDelaySec={KEEPS}s\\n' > {LOGIND}"
    backend.root(f"mkdir -p $(dirname {LOGIND}); {quick}; systemctl reload systemd-logind")
    backend.root(f"loginctl terminate-user {USER} {BUSY}; loginctl enable-linger {UID} {BUSY_UID}")
    backend.root(f"systemctl start user@{UID} user@{BUSY_UID}; touch {NOTED}/{USER} {NOTED}/{BUSY}")
    without_login(backend, BUSY, "setsid sleep 600 >/dev/null 2>&1 </dev/null &").ok()
    said = {"foreseen": switch("on_demand", "--check")}
    assert backend.run("root", f"test -e {SOCKET}").rc != 0
    said["done"] = switch("on_demand")
    said["again foreseen"] = switch("on_demand", "--check")
    said["again"] = switch("on_demand")
    yield said
    backend.root(f"pkill -U {BUSY_UID} -x sleep; rm {LOGIND}; systemctl reload systemd-logind")
    assert recap(switch("true").said)["changed"] > 0
    assert backend.run("root", f"test -e {SOCKET}").rc != 0
    assert backend.root(f"ls {NOTED}/{USER} {KEPT}/{USER} {RUNTIME}/bus").count("\n") == 3


def without_login(backend: Host, user: str, line: str, stdin: str = "") -> Done:
    """A line of shell as cron runs it: nothing has opened a session."""
    environ = f"HOME=/home/{user} USER={user} PATH=/usr/local/bin:/usr/bin:/bin"
    ids = f"--reuid={user} --regid={user} --init-groups"
    # in the cgroup of a service, and not in that of root's login
    words = f"setpriv {ids} env -i {environ} sh -c {shlex.quote(line)}"
    return backend.run("root", f"cd /home/{user}; {words}", stdin)


def processes(backend: Host, uid: int = UID) -> str:
    return backend.run("root", f"pgrep -l -U {uid}").out


def containers(backend: Host) -> int:
    return processes(backend).count(" hello-tre\n")


def gone(backend: Host) -> bool:
    return processes(backend) == "" and backend.run("root", f"test -e {RUNTIME}").rc != 0


def test_sessions_that_the_role_kept_end_where_nothing_runs(
    backend: Host, on_demand: dict[str, Done]
) -> None:
    changed = {name: recap(done.said)["changed"] for name, done in on_demand.items()}
    assert changed["foreseen"] > 0
    assert changed["done"] > 0
    assert (changed["again foreseen"], changed["again"]) == (0, 0), on_demand["again"].said
    told = " ".join(on_demand["done"].said.split())
    assert f"go on for {BUSY}: processes run in them (sleep)" in told
    assert backend.root(f"cd {KEPT}; ls {USER} {BUSY} 2>/dev/null; true") == f"{BUSY}\n"
    assert backend.root(f"cd {NOTED}; ls {USER} {BUSY} 2>/dev/null; true") == f"{BUSY}\n"
    wait_until(lambda: gone(backend), "the session to end")


@pytest.fixture
def pulled(backend: Host, on_demand: dict[str, Done]) -> None:
    for engine in ("podman", "oci"):
        words = ["ces-pull", engine, "--username", SITE["testbed_registry_user"]]
        line = shlex.join([*words, "--password-stdin", IMAGE])
        without_login(backend, USER, line, stdin=SITE["testbed_registry_password"]).ok()


def test_runs_have_a_session_while_they_last(backend: Host, pulled: None, play: Play) -> None:
    """Two at once, seen by podman from another shell, one stopped from there; and a module."""
    start = f"setsid ces-run podman {IMAGE} --duration 50 >/dev/null 2>&1 </dev/null &"
    without_login(backend, USER, f"{start} {start}").ok()

    def shown() -> list[str]:
        return without_login(backend, USER, "podman ps --quiet").out.split()

    wait_until(lambda: len(shown()) == 2, "both containers")
    doctor = backend.run("root", f"ces-doctor --user {USER} --json").out
    found = {one["check"]: one["level"] for one in json.loads(doctor)["findings"]}
    assert (found["lingering"], found["runtime_directory"], found["user_bus"]) == ("ok",) * 3
    task = {"tre.ces.ces_run": {"image": IMAGE, "runner": "podman"}}
    assert play(USER, [task]).rc == 0
    runs = without_login(backend, USER, "ces-runs | awk '/RUNNING/ {print $1}'").out.split()
    assert len(runs) == 2
    for run in runs:
        without_login(backend, USER, f"ces-stop {run}").ok()
    wait_until(lambda: gone(backend), "the session to end")
    assert backend.root(f"find /home/{USER} -maxdepth 1 -name 'scratch-*'") == ""


def test_a_run_that_was_killed_has_its_session_until_it_is_cleared_away(
    backend: Host, pulled: None
) -> None:
    """Its container goes on, and is found where it was; then nothing is left."""
    for engine in ("podman", "oci"):
        line = f"ces-run {engine} {IMAGE} --duration 120"
        without_login(backend, USER, f"setsid {line} >/dev/null 2>&1 </dev/null &").ok()
    wait_until(lambda: containers(backend) == 2, "both containers")
    backend.root(f"pkill -KILL -U {UID} -f '^/usr/bin/python3.*ces-run'; sleep {KEEPS + 2}")
    assert containers(backend) == 2
    backend.root(f"test -S {RUNTIME}/bus")
    without_login(backend, USER, "ces-clean").ok()
    wait_until(lambda: containers(backend) == 0, "the containers to end")
    wait_until(lambda: gone(backend), "the session to end")


def test_who_is_not_listed_gets_none_and_the_reason(
    backend: Host, on_demand: dict[str, Done]
) -> None:
    backend.run("root", "loginctl disable-linger dave; loginctl terminate-user dave")
    wait_until(lambda: backend.run("root", "test -e /run/user/2004").rc != 0, "no session of dave")
    done = without_login(backend, "dave", f"ces-run podman {IMAGE}")
    assert done.rc == 125
    assert "the site does not let dave have sessions on demand" in done.said
    assert "podman_users" in done.said


def test_a_user_gets_nothing_of_roots_with_the_session(
    backend: Host, on_demand: dict[str, Done]
) -> None:
    """What holds it is a process of the user's, who can take its descriptors."""
    done = without_login(backend, USER, f"python3 -c {shlex.quote(LOOKS)}").ok()
    assert done.out == "['/dev/null', 'the connection']\n"


LOOKS = f"""
import os, socket, subprocess
connection = socket.socket(socket.AF_UNIX)
connection.connect("{SOCKET}")
assert connection.recv(100) == b"ready\\n"
(pid,) = subprocess.check_output(["pgrep", "-U", "{UID}", "-x", "cat"]).split()
held = "/proc/" + pid.decode() + "/fd/"
names = {{name: os.readlink(held + name) for name in os.listdir(held)}}
print(sorted({{"the connection" if names["0"] == name else name for name in names.values()}}))
"""


def test_a_job_of_slurm_has_a_session_from_prolog_to_epilog(
    backend: Host, on_demand: dict[str, Done], slurms: Slurms
) -> None:
    """A login on the node must not cover the job's directory, and remove it at its end."""
    wait_until(lambda: gone(backend), "no session")
    slurms("prolog", UID)
    try:
        backend.root(f"test -S {RUNTIME}/bus; touch {RUNTIME}/of-the-job")
        # su opens a session for a service, which has none
        login = f"su - {USER} -c 'test -e {RUNTIME}/of-the-job'"
        backend.root(f"systemd-run --quiet --wait --pipe {login}; sleep {KEEPS + 2}")
        backend.root(f"test -e {RUNTIME}/of-the-job")
    finally:
        slurms("epilog", UID)
    wait_until(lambda: gone(backend), "the session to end")
    assert backend.root(f"systemctl list-units --all --no-legend 'tre-ces-job-{JOB}*'") == ""
