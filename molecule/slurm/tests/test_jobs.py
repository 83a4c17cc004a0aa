# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that a playbook submits to Slurm: how they end, whatever happens to them meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import NODES, SITE, Cluster, User, provision
from engines import RUNNERS
from remote import wait_until

TOP = Path(__file__).resolve().parents[3]
INVENTORY = Path(os.environ["TESTBED_INVENTORY"])
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
    "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
    "ANSIBLE_COLLECTIONS_PATH": str(TOP / "build/collections"),
    "ANSIBLE_HOME": str(TOP / "build/ansible"),
    "ANSIBLE_NOCOLOR": "1",
}
LOGIN = {
    "username": SITE["testbed_registry_user"],
    "password": SITE["testbed_registry_password"],
}
SHELL = {"options": ["--entrypoint=/bin/sh"]}
GREETING = "Hi $`'\""
SECRET = "v3ry-s3cret"  # noqa: S105  what must be seen nowhere


@dataclass
class Task:
    """A task of a playbook that is running."""

    child: subprocess.Popen[str]
    answer: Path

    def result(self, timeout: float = 200) -> dict[str, Any]:
        out, err = self.child.communicate(timeout=timeout)
        assert self.child.returncode == 0, out + err
        return {"warnings": [], **json.loads(self.answer.read_text())}


Start = Callable[..., Task]


@pytest.fixture
def start(tmp_path: Path, alice: User) -> Iterator[Start]:
    """Start a task as alice on the submit host: ``start(args=[])``, ``start("ces_run_info")``.

    With ``each`` it is a loop, which is one play instead of many.
    """
    begun: list[Task] = []

    def task(
        module: str = "ces_run",
        *,
        check: bool = False,
        each: list[dict[str, Any]] | None = None,
        **params: Any,
    ) -> Task:
        answer = tmp_path / f"answer-{len(begun)}.json"
        if module == "ces_run":
            params = {"image": alice.image, "runner": "podman", "scheduler": "slurm", **params}
        keep = {"content": "{{ result | to_json }}", "dest": str(answer)}
        if each:
            # what a pass of the loop does not name is left out
            names = {name for one in each for name in one}
            given = {name: f"{{{{ item.{name} | default(omit) }}}}" for name in names}
            params = {**params, **given}
        play = {
            "hosts": "ces_slurm_controllers",
            "gather_facts": False,
            "tasks": [
                {
                    f"tre.ces.{module}": params,
                    **({"loop": each} if each else {}),
                    "become": True,
                    "become_user": alice.name,
                    "register": "result",
                    "ignore_errors": True,
                },
                {"ansible.builtin.copy": keep, "delegate_to": "localhost", "check_mode": False},
            ],
        }
        file = tmp_path / f"play-{len(begun)}.yml"
        file.write_text(yaml.safe_dump([play], sort_keys=False))
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        argv = [program, f"--inventory={INVENTORY}", str(file), *(["--check"] if check else [])]
        child = subprocess.Popen(
            argv,
            env=ENVIRONMENT,
            cwd=TOP,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(Task(child, answer))
        return begun[-1]

    yield task
    for one in begun:
        if one.child.poll() is None:
            one.child.kill()
            one.child.communicate()


@pytest.fixture(scope="session")
def alice(users: dict[str, User]) -> User:
    """A researcher of one project, who has the image on every node."""
    for node in NODES:
        users["alice"].pull(node)
    return users["alice"]


def records(user: User) -> dict[int, dict[str, Any]]:
    """The user's runs as the files have them, without asking Slurm."""
    said = user.run("cat ~/.local/state/ces/runs/*/run.json 2>/dev/null").out
    found, rest = {}, said.lstrip()
    while rest:
        record, end = json.JSONDecoder().raw_decode(rest)
        found[record["run_id"]] = record
        rest = rest[end:].lstrip()
    return found


def new_run(user: User, before: set[int], state: str = "RUNNING") -> dict[str, Any]:
    """The run that is new, once it has that state."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        # before it has a job it is just being submitted
        new = [r for n, r in records(user).items() if n not in before and r["slurm_job_id"]]
        found[:] = [record for record in new if record["state"] == state]
        return bool(found)

    wait_until(is_there, f"a new run to be {state}", 60)
    return found[0]


def left(user: User) -> dict[str, str]:
    """What is there of runs on the nodes and in the home directory; nothing when none is left."""
    home = {
        "scratch": "ls -d ~/scratch-* 2>/dev/null",
        "active": "ls ~/.local/state/ces/active",
        "jobs": "ls ~/.local/state/ces/jobs",
        "private files": "ls ~/.local/state/ces/runs/*/job.json 2>/dev/null",
        "reserves": "ls ~/.local/state/ces/runs/*/reserve 2>/dev/null",
    }
    found = {name: user.run(look).out for name, look in home.items()}
    for node in NODES:
        looks = "podman ps -aq; ls -d $XDG_RUNTIME_DIR/ces/run-* 2>/dev/null"
        looks += "; pgrep -a -u $(id -u) 'conmon|crun|ces-'"
        found[node] = user.cluster.nodes[node].run(user.name, looks).out
    return {name: said for name, said in found.items() if said}


def all_gone(user: User) -> None:
    wait_until(lambda: left(user) == {}, f"all to be gone: {left(user)}", 30)


# --- the good day ---


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_run_as_a_job_is_what_a_run_is(start: Start, alice: User, runner: str) -> None:
    params = {"args": ["-n", 'Ada "L" $HOME'], "env": {"HELLO_TRE": GREETING}, "runner": runner}
    planned = start(check=True, time_limit="20m", **params, **LOGIN).result()
    assert (planned["state"], planned["changed"]) == ("PENDING", True)
    assert planned["slurm"]["start_estimate"].startswith("20")
    answer = start(time_limit="20m", cpus=1, memory="256MiB", **params, **LOGIN).result()
    assert answer["state"] == "COMPLETED", answer
    assert answer["run_id"] == planned["run_id"]
    assert answer["stdout_lines"][0] == f'{GREETING} Ada "L" $HOME!'
    assert answer["stdout_lines"][-1] == 'Goodbye Ada "L" $HOME!'
    said = alice.run(f"cat {answer['outputs']}/safe_outputs.txt").ok().out
    assert "This text is in safe_outputs.txt" in said
    slurm = answer["slurm"]
    assert (slurm["state"], slurm["exit_code"]) == ("COMPLETED", "0:0")
    record = records(alice)[answer["run_id"]]
    assert record["host"] == slurm["node"]
    assert record["host"] in NODES
    assert (record["scheduler"], record["slurm_job_id"]) == ("slurm", slurm["job_id"])
    assert record["resources"]["enforced_by"] == "slurm"
    all_gone(alice)


def test_what_the_container_says_is_the_jobs_status_too(
    start: Start, cluster: Cluster, alice: User
) -> None:
    answer = start(**SHELL, args=["-c", "echo bad >&2; exit 7"]).result()
    assert (answer["failed"], answer["state"], answer["rc"]) == (True, "FAILED", 7)
    assert answer["stdout"] == "bad\n"
    assert answer["slurm"]["exit_code"] == "7:0"
    assert "the container exited with 7" in answer["msg"]


def test_secrets_are_nowhere_that_slurm_keeps(start: Start, cluster: Cluster, alice: User) -> None:
    before = set(records(alice))
    task = start(
        **SHELL, args=["-c", "sleep 5"], env={"TOKEN": SECRET}, extra=["--begin=now+4"], **LOGIN
    )
    queued = new_run(alice, before, "PENDING")
    job = queued["slurm_job_id"]
    private = f"{alice.home}/.local/state/ces/runs/{queued['run_id']}/job.json"
    assert cluster.submit.root(f"stat -c '%U %a' {private}") == "alice 600\n"
    looks = [
        f"scontrol show job {job}",
        f"scontrol write batch_script {job} -",
        f"sacct -j {job} --format=ALL --parsable2",
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
        f"grep -rsaF {SECRET} /var/lib/slurm /var/spool/slurm* /var/log/slurm*",
    ]
    running = new_run(alice, before)
    for host in (cluster.submit, *cluster.nodes.values()):
        said = "".join(host.run("root", look).out for look in looks)
        for secret in (SECRET, LOGIN["password"][:12], LOGIN["username"]):
            assert secret not in said
    everywhere = alice.run(f"grep -rsaF {SECRET} ~ /run/user/$(id -u)").out
    assert everywhere == ""  # the job has read and removed it, and runs on another host
    assert task.result()["run_id"] == running["run_id"]


def test_an_array_is_a_run_for_each_task(start: Start, alice: User) -> None:
    script = (
        'echo "$CES_ARRAY_INDEX $SLURM_ARRAY_TASK_ID" >/safe_outputs/n; test $CES_ARRAY_INDEX != 5'
    )
    answer = start(**SHELL, args=["-c", script], array="1,3,5%2").result()
    assert [run["task"] for run in answer["runs"]] == [1, 3, 5]
    assert [run["state"] for run in answer["runs"]] == ["COMPLETED", "COMPLETED", "FAILED"]
    assert answer["msg"].startswith("1 of 3 tasks failed; the first: run ")
    for run in answer["runs"]:
        task = run["task"]
        assert alice.run(f"cat {run['outputs']}/n").out == f"{task} {task}\n"
        assert run["slurm"]["job_id"].endswith(f"_{task}")
    all_gone(alice)


def test_who_does_not_wait_finds_the_run_again(start: Start, alice: User) -> None:
    answer = start(args=["-n", "Ada"], wait=False, extra=["--hold"]).result()
    number, job = answer["run_id"], answer["slurm"]["job_id"]
    assert (answer["state"], answer["failed"], answer["changed"]) == ("PENDING", False, True)
    (run,) = start("ces_run_info", run_id=number).result()["runs"]
    assert (run["state"], run["reason"], run["slurm_job_id"]) == ("PENDING", "JobHeldUser", job)
    assert "JobHeldUser" in alice.run(f"ces-runs {number}").ok().out
    alice.run(f"scontrol release {job}").ok()
    wait_until(lambda: records(alice)[number]["state"] == "COMPLETED", "the run to end", 60)
    all_gone(alice)


def test_a_play_that_dies_leaves_a_job_that_goes_on(start: Start, alice: User) -> None:
    before = set(records(alice))
    task = start(args=["-d", "8"])
    number = new_run(alice, before)["run_id"]
    task.child.kill()
    alice.cluster.submit.root("pkill -KILL -u alice -f AnsiballZ || true")
    wait_until(lambda: records(alice)[number]["state"] != "RUNNING", "the run to end", 60)
    (run,) = start("ces_run_info", run_id=number).result()["runs"]
    assert run["state"] == "COMPLETED"
    all_gone(alice)


@pytest.fixture
def gpus(cluster: Cluster) -> Iterator[None]:
    """GPUs as podman knows them on the nodes: names that do no more than say which they are."""
    devices = [
        {"name": name, "containerEdits": {"env": [f"FAKE_GPU_{name}=here"]}}
        for name in ("0", "1", "all")
    ]
    spec = json.dumps({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices})
    for node in cluster.nodes.values():
        node.root("mkdir -p /etc/cdi && cat >/etc/cdi/nvidia.json", stdin=spec)
    yield
    for node in cluster.nodes.values():
        node.root("rm /etc/cdi/nvidia.json")


@pytest.mark.usefixtures("gpus")
def test_a_container_sees_the_gpus_of_its_job_and_no_others(start: Start) -> None:
    """Two jobs at once on one node have one GPU each."""
    script = "env | grep FAKE_GPU; sleep 8"
    params = {**SHELL, "args": ["-c", script], "gpus": "1", "extra": ["--nodelist=node1"]}
    tasks = [start(**params), start(**params)]
    said = sorted(task.result()["stdout"] for task in tasks)
    assert said == ["FAKE_GPU_0=here\n", "FAKE_GPU_1=here\n"]


# --- bad input ---


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"partition": "nosuch"}, "Invalid partition name specified. partitions here: batch (up to"),
    ({"extra": ["--mem=100G"]}, "ask for fewer CPUs, less memory or fewer GPUs"),
    ({"memory": "100GiB"}, "this site allows at most"),
    ({"time_limit": "2h"}, "the time limit is longer than the partition allows"),
    ({"account": "nosuch"}, "Invalid account or account/partition combination specified"),
    ({"gpus": "3"}, "node configuration is not available"),
    ({"extra": ["--export=ALL"]}, "it would change what the job runs"),
    ({"array": "3-1"}, "ends before it begins"),
    ({"dependency": "afterok:999999"}, "Job dependency problem"),
]


@pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
def test_what_cannot_be_is_refused_with_what_to_do(start: Start, alice: User, check: bool) -> None:
    answer = start(check=check, each=[wrong for wrong, _said in REFUSED]).result()
    for (wrong, said), refusal in zip(REFUSED, answer["results"], strict=True):
        assert refusal["failed"], wrong
        assert said in refusal["msg"], wrong
    assert alice.run("squeue --noheader --me").ok().out == ""
    all_gone(alice)


def test_an_image_that_is_gone_when_the_job_starts_fails_the_run(start: Start, alice: User) -> None:
    answer = start(image=f"{alice.image}-gone", **LOGIN).result()
    assert (answer["state"], answer["rc"]) == ("FAILED", 125)
    assert "the registry has no such image or tag" in answer["msg"]
    all_gone(alice)


# --- bad days ---


TOKEN = {"registry_users": [{"name": LOGIN["username"], "password": "another one"}]}
STRICTER = {"ces_policy": {**SITE["ces_policy"], "require_digest": True}}


@pytest.mark.parametrize(
    ("tags", "changed", "said"),
    [
        ("registry", TOKEN, "it does not accept the user name and token"),
        ("ces_tools", STRICTER, "this site requires images to be named by digest"),
    ],
    ids=["token", "policy"],
)
def test_a_token_or_a_policy_that_is_replaced_while_a_job_is_queued_counts_when_it_starts(
    start: Start, alice: User, tags: str, changed: dict[str, Any], said: str
) -> None:
    before = set(records(alice))
    start(extra=["--hold"], wait=False, pull="always", **LOGIN).result()
    job = new_run(alice, before, "PENDING")["slurm_job_id"]
    provision(f"--tags={tags}", f"--extra-vars={json.dumps(changed)}")
    try:
        alice.run(f"scontrol release {job}").ok()
        record = new_run(alice, before, "FAILED")
    finally:
        provision(f"--tags={tags}")
    assert record["rc"] == 125
    assert said in record["reason"]
    all_gone(alice)
    start(pull="always", **LOGIN).result()


def test_cancelled_while_queued(start: Start, alice: User) -> None:
    before = set(records(alice))
    task = start(extra=["--hold"], poll_interval=1)
    job = new_run(alice, before, "PENDING")["slurm_job_id"]
    alice.run(f"scancel {job}").ok()
    answer = task.result()
    assert (answer["state"], answer["rc"]) == ("CANCELLED", 143)
    assert "cancelled before it started" in answer["reason"]
    all_gone(alice)


def test_a_task_of_an_array_that_is_cancelled_while_queued_keeps_nothing_open(
    start: Start, alice: User
) -> None:
    """scontrol says "not found" of it, while it still knows the others."""
    before = set(records(alice))
    start(extra=["--hold"], array="0-1", wait=False).result()

    def states() -> dict[str, str]:
        listed = alice.run("ces-runs --json").ok()
        assert "warning" not in listed.err
        new = (run for run in json.loads(listed.out) if run["run_id"] not in before)
        return {run["slurm_job_id"]: run["state"] for run in new}

    first, second = sorted(states())
    alice.run(f"scancel {first}").ok()
    assert states() == {first: "CANCELLED", second: "PENDING"}
    alice.run(f"scancel {second}").ok()
    assert states() == {first: "CANCELLED", second: "CANCELLED"}
    all_gone(alice)


@pytest.mark.parametrize("runner", ["apptainer", "oci"])
def test_cancelled_under_other_engines(start: Start, alice: User, runner: str) -> None:
    before = set(records(alice))
    task = start(args=["-d", "100"], runner=runner, **LOGIN)
    run = new_run(alice, before)
    wait_until(lambda: "Hello" in alice.run(f"cat {run['log']}").out, "the container to be up")
    alice.run(f"scancel {run['slurm_job_id']}").ok()
    answer = task.result()
    assert (answer["state"], answer["rc"]) == ("CANCELLED", 143)
    all_gone(alice)


def test_cancelled_while_running(start: Start, alice: User) -> None:
    before = set(records(alice))
    script = "trap 'echo told; exit 0' TERM; echo up; while :; do sleep 1; done"
    task = start(**SHELL, args=["-c", script])
    run = new_run(alice, before)
    wait_until(lambda: "up" in alice.run(f"cat {run['log']}").out, "the container to be up")
    alice.run(f"scancel {run['slurm_job_id']}").ok()
    answer = task.result()
    assert (answer["state"], answer["rc"]) == ("CANCELLED", 143)
    assert (answer["stdout_lines"][0], answer["stdout_lines"][-1]) == ("up", "told")
    assert answer["slurm"]["state"] == "CANCELLED"
    all_gone(alice)


def listed(user: User, state: str) -> set[int]:
    """Numbers of the user's runs that are in this state to ``ces-runs``, which asks Slurm."""
    found = json.loads(user.run(f"ces-runs --json --limit 0 --state {state}").ok().out)
    return {record["run_id"] for record in found}


def test_the_record_of_a_cancelled_run_says_so_where_nobody_waits(
    start: Start, alice: User
) -> None:
    before = set(records(alice))
    number = start(args=["-d", "100"], wait=False).result()["run_id"]
    run = new_run(alice, before)
    assert number in listed(alice, "RUNNING")
    wait_until(lambda: "Hello" in alice.run(f"cat {run['log']}").out, "the container to be up")
    alice.run(f"scancel {run['slurm_job_id']}").ok()
    # the job itself writes it: nobody asks Slurm until it is there
    wait_until(lambda: records(alice)[number]["state"] != "RUNNING", "the record to change", 40)
    record = records(alice)[number]
    assert (record["state"], record["rc"]) == ("CANCELLED", 143)
    assert record["reason"] == "stopped by SIGTERM"
    assert record["ended"] > record["started"]
    assert (number in listed(alice, "CANCELLED"), number in listed(alice, "RUNNING")) == (
        True,
        False,
    )
    (told,) = start("ces_run_info", run_id=number).result()["runs"]
    assert (told["state"], told["rc"]) == ("CANCELLED", 143)
    all_gone(alice)


def test_the_record_of_a_cancelled_run_that_could_write_nothing_is_closed_by_who_looks(
    start: Start, cluster: Cluster, alice: User
) -> None:
    """Its process hears nothing any more, until Slurm kills it."""
    before = set(records(alice))
    number = start(args=["-d", "100"], wait=False).result()["run_id"]
    run = new_run(alice, before)
    wait_until(lambda: "Hello" in alice.run(f"cat {run['log']}").out, "the container to be up")
    cluster.nodes[run["host"]].root(f"kill -STOP {run['pid']}")
    alice.run(f"scancel {run['slurm_job_id']}").ok()
    assert records(alice)[number]["state"] == "RUNNING"
    wait_until(lambda: number not in listed(alice, "RUNNING"), "the run to be over", 120)
    record = records(alice)[number]
    assert record["state"] == "CANCELLED"
    assert record["ended"] > record["started"]
    all_gone(alice)


def test_stopped_by_number_from_the_submit_host(start: Start, alice: User) -> None:
    before = set(records(alice))
    task = start(args=["-d", "100"])
    number = new_run(alice, before)["run_id"]
    assert alice.run(f"ces-stop {number}").ok().out == f"run {number}: CANCELLED\n"
    assert task.result()["state"] == "CANCELLED"
    all_gone(alice)


def test_cancelled_while_pulling(start: Start, alice: User, hosts: dict[str, Any]) -> None:
    """The registry stops in the middle of things, and so does the pull."""
    before = set(records(alice))
    hosts["registry"].root("pkill -STOP docker-registry")
    try:
        task = start(pull="always", **LOGIN)
        run = new_run(alice, before)
        alice.run(f"scancel {run['slurm_job_id']}").ok()
        answer = task.result()
    finally:
        hosts["registry"].root("pkill -CONT docker-registry")
    assert answer["state"] == "CANCELLED"
    all_gone(alice)


def test_the_time_is_over(start: Start, alice: User) -> None:
    script = "trap 'echo told; exit 0' TERM; while :; do sleep 1; done"
    answer = start(**SHELL, args=["-c", script], time_limit="1m").result()
    assert (answer["state"], answer["rc"]) == ("TIMEOUT", 124)
    # podman may complain that the signal it passes on has been there already
    assert answer["stdout_lines"][-1] == "told"
    assert (answer["slurm"]["state"], answer["slurm"]["reason"]) == ("TIMEOUT", "TimeLimit")
    all_gone(alice)


def test_killed_without_a_word(start: Start, cluster: Cluster, alice: User) -> None:
    before = set(records(alice))
    task = start(args=["-d", "100"], poll_interval=1)
    run = new_run(alice, before)
    wait_until(lambda: alice.on(run["host"], "podman ps -q"), "the container to run")
    cluster.nodes[run["host"]].root(f"kill -KILL {run['pid']}")
    answer = task.result()
    assert (answer["failed"], answer["state"]) == (True, "FAILED")
    assert answer["slurm"]["state"] == "FAILED"
    all_gone(alice)


def test_the_node_goes_down(start: Start, cluster: Cluster, alice: User) -> None:
    before = set(records(alice))
    task = start(args=["-d", "100"], poll_interval=1)
    run = new_run(alice, before)
    node = run["host"]
    cluster.submit.root(f"scontrol update nodename={node} state=down reason=test")
    try:
        answer = task.result()
    finally:
        # it may have come back by itself (ReturnToService)
        cluster.submit.run("root", f"scontrol update nodename={node} state=resume")
    assert answer["state"] == "NODE_FAIL", answer
    assert answer["failed"]
    all_gone(alice)


def test_the_controller_is_away_while_we_wait(start: Start, cluster: Cluster, alice: User) -> None:
    before = set(records(alice))
    task = start(args=["-d", "15"], poll_interval=1)
    new_run(alice, before)
    cluster.submit.root("systemctl stop slurmctld")
    try:
        wait_until(
            lambda: new_run(alice, before, "COMPLETED"), "the run to end without a controller", 60
        )
    finally:
        cluster.submit.root("systemctl start slurmctld")
    answer = task.result()
    assert answer["state"] == "COMPLETED"
    assert len([text for text in answer["warnings"] if "and we wait for it" in text]) <= 1
    all_gone(alice)


def test_a_controller_that_is_away_takes_nothing_on(
    start: Start, cluster: Cluster, alice: User
) -> None:
    cluster.submit.root("systemctl stop slurmctld")
    try:
        answer = start().result()
    finally:
        cluster.submit.root("systemctl start slurmctld")
    assert answer["failed"]
    assert "Unable to contact slurm controller" in answer["msg"]
    assert "try later" in answer["msg"]
    all_gone(alice)


# --- many ---


def test_two_hundred_at_once(start: Start, alice: User) -> None:
    before = set(records(alice))
    answer = start(**SHELL, args=["-c", "echo $CES_ARRAY_INDEX"], array="0-199").result(580)
    assert answer.get("failed", False) is False, answer.get("msg")
    assert [run["stdout"] for run in answer["runs"]] == [f"{task}\n" for task in range(200)]
    after = {number: r for number, r in records(alice).items() if number not in before}
    assert len(after) == 200
    assert {record["state"] for record in after.values()} == {"COMPLETED"}
    assert len({record["outputs"] for record in after.values()}) == 200
    alice.run("rm -rf ~/outputs-*").ok()
    all_gone(alice)
