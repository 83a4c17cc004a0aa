# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what we cost beside what a user would use instead, in one run, as ratios.

Prints a table and writes ``build/bench.json``: a list of ``{"name", "ours", "peer", "ratio",
"target"}``; ours and peer are medians in seconds, ratio is ours / peer, target the largest ratio we
are content with (None where the row shows how a cost grows). Exits with 1 when a target is missed.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
INSTANCE = os.environ.setdefault("TESTBED", "bench")
INVENTORY = TOP / "build" / "testbed" / INSTANCE / "inventory"
HOST, USER = "debian13", "alice"
REPEATS = int(os.environ.get("BENCH_REPEATS", "15"))
SUBID_USERS = (100, 1000, 10000)
LINES = 50

Row = dict[str, Any]
SETTINGS = yaml.safe_load((TOP / "testbed/group_vars/all.yml").read_text())
IMAGE = "registry.tre.test:5000/tre/hello-tre:1.0"
LARGE = "registry.tre.test:5000/tre/large:1.0"
"""The same with 64 MB of noise: what researchers pull is larger still."""
MOUNTS = [
    "--mount=type=bind,src=/safe_data/proj1,dst=/safe_data",
    "--mount=type=bind,src=/home/alice/by-hand/outputs,dst=/safe_outputs",
    "--mount=type=bind,src=/home/alice/by-hand/scratch,dst=/scratch",
]
PODMAN_RUN = ["podman", "run", "--rm", "--network=none", "--group-add=keep-groups", *MOUNTS]
APPTAINER_RUN = [
    *("apptainer", "--silent", "run", "--containall", "--writable-tmpfs"),
    *("--net", "--network=none"),
    *MOUNTS,
]
"""What a user types for the same mounts, who makes, numbers and removes the directories by hand."""
LOGIN = {
    "username": SETTINGS["testbed_registry_user"],
    "password": SETTINGS["testbed_registry_password"],
}


def main() -> None:
    prepare()
    rows: list[Row] = []
    for part in (commands, tasks, jobs, subids, growth):
        rows += part()
        # what was measured is not lost if the next part fails
        (TOP / "build/bench.json").write_text(json.dumps(rows, indent=1) + "\n")
    show(rows)
    missed = [
        row["name"] for row in rows if row["target"] is not None and row["ratio"] > row["target"]
    ]
    if missed:
        sys.exit(f"targets missed: {', '.join(missed)}")


def prepare() -> None:
    """A provisioned back-end with the image in its user's storage."""
    say("hosts")
    run([TOP / "testbed/hosts", "up", "registry", HOST])
    limit = f"--limit={HOST},registry,localhost"
    names = ("testbed/people.yml", "playbooks/backend.yml", "testbed/image.yml")
    say("back-end")
    # a cluster of one node, for jobs
    cluster = f"--inventory={TOP / 'testbed/demo-cluster.yml'}"
    site = f"--extra-vars=@{HERE / 'site.yml'}"
    playbook(*(str(TOP / name) for name in names), limit, cluster, site)
    on_host(
        f"podman login --username {LOGIN['username']} --password-stdin registry.tre.test:5000",
        LOGIN["password"],
    )
    on_host("mkdir -p by-hand/outputs by-hand/scratch")
    on_host(
        "mkdir -p large && cd large && dd if=/dev/urandom of=noise bs=1M count=64 status=none && "
        f"printf 'FROM {IMAGE}\\nCOPY noise /\\n' >Containerfile && "
        f"podman build --quiet --tag {LARGE} . && podman push --quiet {LARGE}"
    )
    needed = (("podman", IMAGE), ("apptainer", IMAGE), ("apptainer", LARGE), ("oci", IMAGE))
    for runner, image in needed:
        on_host(f"ces-pull {runner} {image}")


def commands() -> Iterator[Row]:
    say("commands")
    sif = on_host("readlink -f hello-tre:1.0.sif").strip()
    # pulls apart from runs: podman writes its list of images anew, which ours notice
    runs = measure(
        {
            "ces-run": ["ces-run", "podman", IMAGE],
            "podman run": [*PODMAN_RUN, IMAGE],
            "ces-run apptainer": ["ces-run", "apptainer", IMAGE],
            "apptainer run": [*APPTAINER_RUN, sif],
            "ces-run oci": ["ces-run", "oci", IMAGE],
        }
    )
    pulls = measure(
        {
            "ces-pull": ["ces-pull", "podman", IMAGE],
            "podman pull": ["podman", "pull", "--quiet", IMAGE],
            "ces-pull apptainer": ["ces-pull", "apptainer", LARGE],
        }
    )
    forced = measure({"apptainer pull": apptainer_pull()}, 3)["apptainer pull"]
    yield row("ces-run / podman run", runs["ces-run"], runs["podman run"], 1.25)
    yield row("ces-run oci / podman run", runs["ces-run oci"], runs["podman run"], 0.5)
    yield row(
        "ces-run apptainer / apptainer run", runs["ces-run apptainer"], runs["apptainer run"], 1.3
    )
    yield row("repeat ces-pull / podman pull", pulls["ces-pull"], pulls["podman pull"], 0.8)
    yield row(
        "repeat ces-pull apptainer / apptainer pull --force (64 MB)",
        pulls["ces-pull apptainer"],
        forced,
        0.1,
    )


def apptainer_pull() -> list[str]:
    ca = "/etc/containers/certs.d/registry.tre.test:5000/ca.crt"
    auth = "/run/user/$(id -u)/containers/auth.json"
    pull = f"apptainer pull --force --disable-cache --authfile={auth} bench.sif docker://{LARGE}"
    return ["sh", "-c", f"SSL_CERT_FILE={ca} {pull}"]


def tasks() -> Iterator[Row]:
    say("tasks")
    repeats = max(3, REPEATS // 2) + 1
    timed = task_times(str(HERE / "tasks.yml"), f"--extra-vars=bench_repeats={repeats}")
    warm = {name: seconds[1:] for name, seconds in timed.items()}
    run, pull = warm["Run with ces_run"], warm["Pull with ces_pull"]
    yield row("ces_run / podman_container", run, warm["Run with podman_container"], 0.7)
    yield row("ces_run / command: podman run", run, warm["Run with podman as a command"], None)
    plain = warm["Pull with podman as a command"]
    yield row("repeat ces_pull / command: podman pull", pull, plain, None)


def jobs() -> Iterator[Row]:
    say("jobs")
    repeats = max(3, REPEATS // 2) + 1
    timed = task_times(str(HERE / "jobs.yml"), f"--extra-vars=bench_repeats={repeats}")
    ours, peer = (timed[f"Submit with {name}"][1:] for name in ("ces_run", "sbatch"))
    yield row("ces_run with scheduler: slurm / sbatch --wait", ours, peer, 1.15)


def subids() -> Iterator[Row]:
    say("subordinate ids")
    many = json.dumps({"bench_users": SUBID_USERS, "bench_lines": LINES})
    timed = task_times(str(HERE / "subid.yml"), f"--extra-vars={many}")
    # a loop of 10,000 would take an hour: each turn costs the same, so 50 are enough to know
    for users in SUBID_USERS:
        scaled = [sum(timed["A line for each in a loop"]) / LINES * users]
        name = f"subid, {users} users / lineinfile loop (scaled from {LINES})"
        yield row(name, timed[f"Users at once, {users}"], scaled, None)


def growth() -> Iterator[Row]:
    say("growth")
    state = "~/.local/state/ces/runs"
    few = None
    for count in (1, 10, 1000):
        on_host(
            f"rm -rf {state}; ces-run podman {IMAGE} && cd {state} && n=$(ls) && "
            f"for i in $(seq 2 {count}); do cp -r $n $((n + 1000 * i)); done"
        )
        seconds = measure({"ces-run": ["ces-run", "podman", IMAGE]}, 7)["ces-run"]
        few = few or seconds
        yield row(f"ces-run with {count} old records / with 1", seconds, few, None)
    on_host(f"rm -rf {state}")
    yield listing("1 image")
    # built, since the site's policy has no imports
    on_host(
        "cd $(mktemp -d) && for i in $(seq 200); do printf 'FROM scratch\\nLABEL n=%s\\n' $i | "
        "podman build --quiet --tag localhost/bench:$i --file - . || exit 1; done"
    )
    yield listing("201 images")
    on_host("podman images -q localhost/bench | xargs podman rmi --force")


def listing(what: str) -> Row:
    timed = measure({"ces-images": ["ces-images"], "podman images": ["podman", "images"]}, 7)
    name = f"ces-images / podman images, {what}"
    return row(name, timed["ces-images"], timed["podman images"], None)


def measure(jobs: dict[str, list[str]], repeats: int = REPEATS) -> dict[str, list[float]]:
    """Times of commands on the host, each once a turn."""
    job = json.dumps({"repeats": repeats, "commands": jobs})
    program = shlex.quote((HERE / "on_host.py").read_text())
    answer: dict[str, list[float]] = json.loads(on_host(f"python3 -c {program}", job))
    return answer


def task_times(*words: str) -> dict[str, list[float]]:
    """Seconds of each task by name, as Ansible's own callback has them."""
    environ = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
    plays = json.loads(playbook(*words, **environ))["plays"]
    times: dict[str, list[float]] = {}
    for play in plays:
        for task in play["tasks"]:
            duration = task["task"]["duration"]
            times.setdefault(task["task"]["name"], []).append(
                seconds_between(duration["start"], duration["end"])
            )
    return times


def seconds_between(start: str, end: str) -> float:
    first, last = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (start, end))
    return (last - first).total_seconds()


def row(name: str, ours: list[float], peer: list[float], target: float | None) -> Row:
    mine, other = statistics.median(ours), statistics.median(peer)
    return {
        "name": name,
        "ours": round(mine, 4),
        "peer": round(other, 4),
        "ratio": round(mine / other, 3),
        "target": target,
    }


def show(rows: list[Row]) -> None:
    width = max(len(row["name"]) for row in rows)
    print(f"\n{'ours / peer':<{width}}  {'ours s':>8}  {'peer s':>8}  {'ratio':>7}  target")
    for item in rows:
        verdict = "" if item["target"] is None else f"<= {item['target']:g}"
        if item["target"] is not None and item["ratio"] > item["target"]:
            verdict += "  MISSED"
        figures = f"{item['ours']:8.3f}  {item['peer']:8.3f}  {item['ratio']:7.3f}"
        print(f"{item['name']:<{width}}  {figures}  {verdict}")


def on_host(line: str, stdin: str = "") -> str:
    return run([TOP / "testbed/hosts", "login", HOST, USER, line], stdin)


def playbook(*words: str, **environ: str) -> str:
    command = [TOP / "build/venv/bin/ansible-playbook", "--inventory", INVENTORY, *words]
    return run(command, environ=environ)


def run(command: list[Any], stdin: str = "", environ: dict[str, str] | None = None) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        input=stdin,
        text=True,
        capture_output=True,
        env={**os.environ, **(environ or {})},
        check=False,
    )
    if done.returncode != 0:
        said = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        sys.exit(f"{shlex.join(words)[:300]} exited with {done.returncode}:\n{said}")
    return done.stdout


def say(what: str) -> None:
    print(f"measuring: {what} ...", flush=True)


if __name__ == "__main__":
    main()
