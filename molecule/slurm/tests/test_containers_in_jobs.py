# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role slurm_oci gives to jobs: bundles, podman within the job, and clearing away."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import NODES, SITE, Cluster, User
from remote import wait_until

PODMAN = "podman run --entrypoint /bin/sh"
# neither the container nor the script does what SIGTERM asks for
STUBBORN = "trap '' TERM; sleep 300"


def wait_until_forgotten(user: User, number: int, node: str) -> None:
    wait_until(lambda: user.left_by(number, node) == {}, f"{node} to forget job {number}")


@pytest.fixture(scope="session")
def bundle(bob: User) -> str:
    """A bundle in bob's home, made by tools that know nothing of us."""
    auth = f"/run/user/{bob.uid}/bundle-auth.json"
    user, registry = SITE["testbed_registry_user"], SITE["testbed_registry"]
    script = f"""
        set -e
        rm -rf bundle image; trap 'rm -rf {auth} image' EXIT
        skopeo login --username {user} --password-stdin --authfile {auth} {registry} >/dev/null
        skopeo copy --quiet --authfile {auth} docker://{bob.image} oci:image:tag
        umoci unpack --rootless --image image:tag bundle >/dev/null
        echo only here >bundle/rootfs/canary
        """
    bob.run(script, stdin=SITE["testbed_registry_password"]).ok()
    return f"{bob.home}/bundle"


@pytest.mark.parametrize("node", NODES)
def test_a_bundle_is_run_and_not_ignored(bob: User, bundle: str, node: str) -> None:
    done = bob.srun(
        f"--nodelist={node}", f"--container={bundle}", "/bin/sh", "-c", "cat /canary; id -u"
    )
    assert done.ok().out.split("\n") == ["only here", "0", ""]


def test_a_bundle_gets_arguments_and_gives_its_status(bob: User, bundle: str) -> None:
    name = 'Ada "L" $HOME'
    done = bob.srun(f"--container={bundle}", "/bin/hello-tre", "--name", name).ok()
    assert done.out.splitlines()[-1] == f"Goodbye {name}!"
    assert bob.srun(f"--container={bundle}", "/bin/sh", "-c", "exit 9").rc == 9


@pytest.mark.parametrize("copy", [(), ("--copy",)], ids=["referring", "copied"])
def test_a_bundle_that_we_made_is_run_as_well(
    cluster: Cluster, bob: User, copy: tuple[str, ...]
) -> None:
    """One refers to its host's unpacked images, a copy can be run anywhere."""
    to, outputs = f"{bob.home}/ours.bundle", f"{bob.home}/by-bundle"
    made_on, run_on = cluster.nodes["node1"], "node2" if copy else "node1"
    login = ["--username", SITE["testbed_registry_user"], "--password-stdin"]
    made_on.run("bob", f"rm -rf {to} {outputs}").ok()
    words = ["ces-pull", "oci", *login, bob.image]
    made_on.command("bob", *words, stdin=SITE["testbed_registry_password"]).ok()
    words = ["--project=proj1", f"--to={to}", f"--outputs={outputs}", *copy, bob.image]
    made_on.command("bob", "ces-bundle", *words).ok()

    bundle = f"--nodelist={run_on}", f"--container={to}"
    done = bob.srun(*bundle, "/bin/hello-tre", "--name", "Ada").ok()
    assert done.out.splitlines()[-1] == "Goodbye Ada!"
    assert "This text is" in bob.run(f"cat {outputs}/safe_outputs.txt").ok().out
    assert bob.srun(*bundle, "/bin/sh", "-c", "echo no >/bin/new || exit 9").rc == 9


def test_a_bundle_does_not_see_the_hosts_own_environment(bob: User, bundle: str) -> None:
    seen = bob.srun(f"--container={bundle}", "/bin/sh", "-c", "env").ok().out
    names = {line.partition("=")[0] for line in seen.splitlines()}
    assert "SLURM_JOB_ID" in names
    assert not names & {"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "CONTAINERS_CONF_OVERRIDE"}
    # by which slurmd tells systemd how it is; crun would mount it as well
    assert "NOTIFY_SOCKET" not in names
    assert "notify" not in bob.srun(f"--container={bundle}", "/bin/cat", "/proc/mounts").ok().out
    assert not [name for name in names if name.startswith("SSH_")]


def test_a_shared_image_with_var_and_nothing_in_it_is_run(cluster: Cluster, bob: User) -> None:
    """Slurm's own files of a step would be below /var/run, where a shared image gives no room."""
    image, to = f"{SITE['testbed_registry']}/tre/with-var:1.0", f"{bob.home}/with-var.bundle"
    node = cluster.nodes["node1"]
    login = ["--username", SITE["testbed_registry_user"], "--password-stdin"]
    password = SITE["testbed_registry_password"]
    node.command("bob", "podman", "login", *login, SITE["testbed_registry"], stdin=password).ok()
    recipe = f"FROM {bob.image}\nRUN mkdir -p /var/lib\n"
    build = f"podman build --quiet --tag {image} - && podman push --quiet {image} && podman logout"
    node.run("bob", f"{build} {SITE['testbed_registry']}", recipe).ok()
    node.run("bob", f"rm -rf {to}").ok()
    node.command("bob", "ces-pull", "oci", *login, image, stdin=password).ok()
    words = ["--project=proj1", f"--to={to}", f"--outputs={bob.home}/by-bundle", "--copy", image]
    node.command("bob", "ces-bundle", *words).ok()
    node.root(f"chown -R root:root {to}/rootfs")
    try:
        where = "--nodelist=node1", f"--container={to}"
        assert bob.srun(*where, "/bin/ls", "/var").ok().out == "lib\n"
        number = bob.sbatch("ls /var", *where)
        assert cluster.wait_for_end(number)["JobState"] == "COMPLETED"
        assert bob.log(number) == "lib\n"
    finally:
        node.root(f"rm -rf {to}")


def test_a_batch_script_runs_in_a_bundle(cluster: Cluster, bob: User, bundle: str) -> None:
    number = bob.sbatch("cat /canary", f"--container={bundle}")
    assert cluster.wait_for_end(number)["JobState"] == "COMPLETED"
    assert bob.log(number) == "only here\n"


def test_a_bundle_that_is_not_there_is_an_error(bob: User) -> None:
    done = bob.srun(f"--container={bob.home}/no-such-bundle", "echo", "outside")
    assert done.rc != 0
    assert "outside" not in done.out


def test_a_bundle_that_is_cancelled_leaves_nothing(
    cluster: Cluster, bob: User, bundle: str
) -> None:
    number = bob.sbatch(f"echo started; {STUBBORN}", f"--container={bundle}", "--nodelist=node1")
    wait_until(lambda: "started" in bob.run(f"cat job-{number}.log").out, f"job {number} to start")
    assert "bundles" in bob.left_by(number, "node1")
    bob.cancel(number)
    assert cluster.wait_for_end(number)["JobState"] == "CANCELLED"
    wait_until_forgotten(bob, number, "node1")


@pytest.mark.parametrize("node", NODES)
def test_a_job_has_what_containers_need(bob: User, node: str) -> None:
    script = (
        'echo "$XDG_RUNTIME_DIR"; test -w "$XDG_RUNTIME_DIR" && cat "$CONTAINERS_CONF_OVERRIDE"'
    )
    said = bob.srun(f"--nodelist={node}", "sh", "-c", script).ok().out
    assert said.startswith(f"/run/user/{bob.uid}\n")
    assert 'cgroups = "disabled"' in said


def test_a_run_directory_is_made_where_there_is_no_session(
    cluster: Cluster, users: dict[str, User]
) -> None:
    """Dave, who lingers nowhere, may use Slurm for a moment."""
    dave = users["dave"]
    cluster.submit.root("sacctmgr --immediate add user dave account=tre")
    try:
        said = dave.srun("sh", "-c", 'stat -c "%U %a" $XDG_RUNTIME_DIR').ok().out
    finally:
        cluster.submit.root("sacctmgr --immediate delete user dave")
    assert said == "dave 700\n"


def test_podman_stays_in_the_cgroup_of_its_job(bob: User) -> None:
    script = f"cat /proc/self/cgroup; {PODMAN} --rm {bob.image} -c 'cat /proc/self/cgroup'"
    said = bob.srun("sh", "-c", script).ok().out.splitlines()
    ours = [line for line in said if line.startswith("0::")]
    assert len(ours) == 2
    assert ours[0] == ours[1]
    assert "slurm" in ours[0]


@pytest.fixture
def own_container(bob: User) -> Iterator[str]:
    """A container that bob started on node1 himself, in no job."""
    start = f"podman run --detach --entrypoint /bin/sh {bob.image} -c 'sleep 600'"
    container = bob.on("node1", start).strip()
    yield container
    bob.on("node1", f"podman rm --force --time=0 {container}")


def names_on(bob: User, node: str) -> list[str]:
    return bob.on(node, "podman ps --all --no-trunc --format '{{.ID}}'").split()


def test_podman_of_a_cancelled_job_leaves_nothing_and_others_stay(
    cluster: Cluster, bob: User, own_container: str
) -> None:
    containers = [
        f"{PODMAN} --detach {bob.image} -c {shlex.quote(STUBBORN)}",
        f"{PODMAN} --rm {bob.image} -c {shlex.quote(STUBBORN)}",
    ]
    number = bob.sbatch("trap '' TERM; " + "; ".join(containers), "--nodelist=node1")
    wait_until(lambda: len(names_on(bob, "node1")) == 3, "two containers of the job")
    bob.cancel(number)
    wait_until(lambda: names_on(bob, "node1") == [own_container], "the job's containers to go")
    wait_until_forgotten(bob, number, "node1")
    assert cluster.state(number) == "CANCELLED"
    state = json.loads(bob.on("node1", f"podman container inspect {own_container}"))[0]["State"]
    assert state["Running"] is True


TOLD = "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.2; done"
"""A container that does what SIGTERM asks for."""


def ces_run(user: User, script: str) -> str:
    """A line of a batch script, as docs/researcher.md has it: in the script's shell."""
    user.run("echo --entrypoint=/bin/sh >shell").ok()
    words = ["ces-run", "podman", "--project=proj1", "--opt-file=shell", user.image, "-c", script]
    return shlex.join(words)


def wait_for_line(user: User, job: int, line: str) -> None:
    look = f"grep -qsx {line} job-{job}.log"
    wait_until(lambda: user.run(look).rc == 0, f"job {job} to say {line}", 60)


def record_of(user: User, job: int) -> dict[str, Any]:
    """The record of the run in a job."""
    records = json.loads(user.run("ces-runs --json").ok().out)
    (record,) = (one for one in records if one["slurm_job_id"] == str(job))
    return dict(record)


def test_a_batch_script_that_is_cancelled_stops_its_container_gently(
    cluster: Cluster, bob: User
) -> None:
    number = bob.sbatch(ces_run(bob, TOLD) + "; echo the shell goes on", "--nodelist=node1")
    wait_for_line(bob, number, "ready")
    bob.cancel(number)
    assert cluster.wait_for_end(number)["JobState"] == "CANCELLED"
    wait_until_forgotten(bob, number, "node1")
    assert "\ntold\n" in bob.log(number)
    record = record_of(bob, number)
    assert (record["state"], record["rc"]) == ("CANCELLED", 143)
    assert bob.run(f"ls -d {record['scratch']}").rc != 0


def test_slurms_signals_reach_the_container_and_the_job_goes_on(
    cluster: Cluster, bob: User
) -> None:
    """What `sbatch --signal=B:USR1@300` sends by itself: to write a checkpoint in time."""
    script = "trap 'echo saved' USR1; trap 'exit 3' USR2; echo ready; while :; do sleep 0.2; done"
    ours = ces_run(bob, script)
    batch = bob.sbatch(f"exec {ours}", "--nodelist=node1")
    step = bob.sbatch(f"srun {ours}; exit $?", "--nodelist=node2")
    for number, to in ((batch, "--batch "), (step, "")):
        wait_for_line(bob, number, "ready")
        bob.run(f"scancel --signal=USR1 {to}{number}").ok()
        wait_for_line(bob, number, "saved")
        assert cluster.state(number) == "RUNNING"
        bob.run(f"scancel --signal=USR2 {to}{number}").ok()
        assert cluster.wait_for_end(number)["ExitCode"] == "3:0"
        assert (record_of(bob, number)["state"], record_of(bob, number)["rc"]) == ("FAILED", 3)


def test_the_time_limit_ends_a_container_too(cluster: Cluster, bob: User) -> None:
    """Also one of ces-run, which may be killed before it can write down how the run ended."""
    container = f"{PODMAN} --detach {bob.image} -c {shlex.quote(STUBBORN)}; sleep 300"
    number = bob.sbatch(container, "--partition=short")
    run = bob.sbatch(ces_run(bob, STUBBORN), "--partition=short")
    gentle = bob.sbatch(ces_run(bob, TOLD), "--partition=short")
    wait_until(lambda: len(names_on(bob, "node2")) == 3, "a container of each job")
    for job in (number, run, gentle):
        assert cluster.wait_for_end(job, seconds=150)["JobState"] == "TIMEOUT"
    wait_until(lambda: names_on(bob, "node2") == [], "the containers to go")
    for job in (number, run, gentle):
        wait_until_forgotten(bob, job, "node2")
    for record in (record_of(bob, run), record_of(bob, gentle)):
        assert (record["state"], record["reason"]) == (
            "TIMEOUT",
            "the time that Slurm gave the job was over",
        )
        assert bob.run(f"ls -d {record['scratch']}").rc != 0
    assert record_of(bob, gentle)["rc"] == 124
    assert "\ntold\n" in bob.log(gentle)


def test_a_process_that_left_its_job_ends_with_it(cluster: Cluster, bob: User) -> None:
    script = "setsid sleep 277 </dev/null >/dev/null 2>&1 & sleep 1; ps -o pid=,comm= -p $!"
    number = bob.sbatch(script, "--nodelist=node1")
    assert cluster.wait_for_end(number)["JobState"] == "COMPLETED"
    process, name = bob.log(number).split()
    assert name == "sleep"
    wait_until_forgotten(bob, number, "node1")
    assert bob.on("node1", f"ps -o comm= -p {process} || true") == ""


def processes_of(user: User, node: str, words: str) -> str:
    """The processes with these words, of any user."""
    return user.cluster.nodes[node].run("root", f"pgrep --full --exact '{words}'").out


@pytest.fixture
def own_process(bob: User) -> Iterator[str]:
    """A process that bob left running on node1 himself, in no job."""
    bob.on("node1", "setsid --fork sleep 2710 </dev/null >/dev/null 2>&1")
    yield "sleep 2710"
    bob.on("node1", "pkill --full --exact 'sleep 2710' || true")


AWAY = "env --ignore-environment setsid --fork sleep"
"""Leaves its parent, its session and the number of the job."""
AS_ANOTHER = "podman unshare setpriv --reuid=7 --regid=7 --clear-groups"
"""One of the user's subordinate ids."""
QUIET = "</dev/null >/dev/null 2>&1"


def test_a_process_that_does_not_name_its_job_ends_with_it(
    cluster: Cluster, bob: User, own_process: str
) -> None:
    # each is still called setsid for an instant
    all_run = 'until [ "$(pgrep --exact --count sleep)" -ge 3 ]; do :; done'
    script = f"{AWAY} 2711 {QUIET}; {AS_ANOTHER} {AWAY} 2712 {QUIET}; {all_run}; echo three"
    number = bob.sbatch(script, "--nodelist=node1")
    assert cluster.wait_for_end(number)["JobState"] == "COMPLETED"
    assert bob.log(number) == "three\n"
    wait_until_forgotten(bob, number, "node1")
    assert processes_of(bob, "node1", "sleep 271[12]") == ""
    assert processes_of(bob, "node1", own_process) != ""


def test_it_ends_with_the_last_job_of_the_user_on_the_node(cluster: Cluster, bob: User) -> None:
    """Nobody knows which of two jobs started it, and the other job may need it."""
    lasting = bob.sbatch(f"{AWAY} 2713 {QUIET}; echo up; sleep 300", "--nodelist=node1")
    wait_for_line(bob, lasting, "up")
    short = bob.sbatch(f"{AWAY} 2714 {QUIET}", "--nodelist=node1")
    assert cluster.wait_for_end(short)["JobState"] == "COMPLETED"
    wait_until_forgotten(bob, short, "node1")
    assert len(processes_of(bob, "node1", "sleep 271[34]").split()) == 2
    bob.cancel(lasting)
    cluster.wait_for_end(lasting)
    wait_until_forgotten(bob, lasting, "node1")
    assert processes_of(bob, "node1", "sleep 271[34]") == ""


RUNTIME = """#!/bin/sh
/usr/bin/ps -o args= -p $PPID >>{home}/runtime.log
exec /usr/bin/crun "$@"
"""
"""A runtime that writes down who called it."""


def test_no_program_of_the_user_is_run_after_the_job(cluster: Cluster, bob: User) -> None:
    """Their containers.conf says that crun is another program."""
    own = ".config/containers/containers.conf"
    bob.run(
        "cat >runtime; chmod +x runtime; rm -f runtime.log", stdin=RUNTIME.format(home=bob.home)
    ).ok()
    conf = f'[engine.runtimes]\ncrun = ["{bob.home}/runtime"]\n'
    bob.run(f"mkdir -p .config/containers; cat >{own}", stdin=conf).ok()
    try:
        container = f"{PODMAN} --detach {bob.image} -c {shlex.quote(STUBBORN)}"
        number = bob.sbatch(f"trap '' TERM; {container}; sleep 300", "--nodelist=node1")
        started = "grep -qs '^podman run' runtime.log"
        wait_until(lambda: bob.run(started).rc == 0, "the container of the job")
        bob.cancel(number)
        cluster.wait_for_end(number)
        wait_until_forgotten(bob, number, "node1")
        assert names_on(bob, "node1") == []
        assert "podman rm" not in bob.run("cat runtime.log").ok().out
    finally:
        bob.run(f"rm -f runtime {own}").ok()


def test_clearing_away_had_nothing_to_complain_about(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        said = node.root(
            "journalctl --quiet --identifier=tre-ces-prolog --identifier=tre-ces-epilog"
        )
        assert [line for line in said.splitlines() if "which Slurm did not find" not in line] == []
