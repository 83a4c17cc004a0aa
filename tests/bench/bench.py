# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what we cost beside what a user would use instead, in one run, as ratios.

Prints a table and writes ``build/bench.json``: rows as rows.py has them; ours and peer are
medians in seconds, ratio is ours / peer, target the largest ratio we are content with (None where
the row shows how a cost grows). Exits with 1 when a target is missed. ``bench.py PART...`` measures
only those parts.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from datetime import datetime

import yaml
from hosts import HERE, HOST, TOP, build_before, on_host, playbook, run, say
from provisioning import provisioning
from rows import Row, Times, row, settled, table

REPEATS = int(os.environ.get("BENCH_REPEATS", "15"))
SUBID_USERS = (100, 1000, 10000)
LINES = 50

SETTINGS = yaml.safe_load((TOP / "testbed/group_vars/all.yml").read_text())
IMAGE = "registry.tre.test:5000/tre/hello-tre:1.0"
LARGE = "registry.tre.test:5000/tre/large:1.0"
"""The same with 64 MB of noise: what researchers pull is larger still."""
WHOLE = "registry.tre.test:5000/tre/large:whole"
"""The host's own programs and libraries, of half a gigabyte."""
RUNNERS = ("podman", "apptainer", "oci")
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
CRUN_RUN = "crun --cgroup-manager=disabled run --bundle by-hand/bundle bench-$$"
INSTALL_BEFORE = """
rm -rf before && mkdir before && cd before && base64 -d | tar -x &&
mv plugins/module_utils/ces roles/ces_tools/files/* . && ln -s launcher ces-run &&
python3 -m compileall -q ces ces_commands
"""
PSS = """
{program} {runner} {image} -d 2 >/dev/null 2>&1 & ours=$!; sleep 1.5
sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$ours/smaps_rollup; wait
"""
LOGIN = {
    "username": SETTINGS["testbed_registry_user"],
    "password": SETTINGS["testbed_registry_password"],
}


def main(wanted: list[str]) -> None:
    if wanted != ["provisioning"]:
        prepare()
    rows: list[Row] = []
    for part in (
        commands,
        images,
        many,
        memory,
        tasks,
        jobs,
        verification,
        subids,
        growth,
        provisioning,
    ):
        if wanted and part.__name__ not in wanted:
            continue
        say(part.__name__)
        for found in part():
            rows.append(found)
            # what was measured is not lost if the next row fails
            text = json.dumps([each.as_dict() for each in rows], indent=1)
            (TOP / "build/bench.json").write_text(f"{text}\n")
    print(f"\n{table(rows)}")
    missed = [found.name for found in rows if found.missed and not found.busy]
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
    program = shlex.quote((HERE / "bundle_by_hand.py").read_text())
    on_host(f"cd by-hand && python3 -c {program} {IMAGE}")
    on_host(
        "mkdir -p large && cd large && dd if=/dev/urandom of=noise bs=1M count=64 status=none && "
        f"printf 'FROM {IMAGE}\\nCOPY noise /\\n' >Containerfile && "
        f"podman build --quiet --tag {LARGE} . && podman push --quiet {LARGE}"
    )
    needed = (("podman", IMAGE), ("apptainer", IMAGE), ("apptainer", LARGE), ("oci", IMAGE))
    for runner, image in needed:
        on_host(f"ces-pull {runner} {image}")


def commands() -> Iterator[Row]:
    sif = on_host("readlink -f hello-tre:1.0.sif").strip()
    limits = enforced_limits()
    podman = "podman run with its limits" if limits else "podman run"
    # pulls apart from runs: podman writes its list of images anew, which ours notice
    runs = {
        "ces-run": ["ces-run", "podman", IMAGE],
        podman: [*PODMAN_RUN, *limits, IMAGE],
        "ces-run apptainer": ["ces-run", "apptainer", IMAGE],
        "apptainer run": [*APPTAINER_RUN, sif],
        "ces-run oci": ["ces-run", "oci", IMAGE],
        "crun run": ["sh", "-c", CRUN_RUN],
    }
    yield from compared(
        runs,
        ("ces-run", podman),
        ("ces-run oci", podman),
        ("ces-run oci", "crun run"),
        ("ces-run apptainer", "apptainer run"),
    )
    pulls = {
        "repeat ces-pull": ["ces-pull", "podman", IMAGE],
        "podman pull": ["podman", "pull", "--quiet", IMAGE],
    }
    yield from compared(pulls, ("repeat ces-pull", "podman pull"))
    looks = {
        "ces-check": ["ces-check", "podman", IMAGE],
        "skopeo inspect": ["skopeo", "inspect", f"docker://{IMAGE}"],
    }
    yield from compared(looks, ("ces-check", "skopeo inspect"))
    hosts = {"ces-doctor": ["ces-doctor"], "podman info": ["podman", "info"]}
    yield from compared(hosts, ("ces-doctor", "podman info"))
    large = {
        "repeat ces-pull apptainer": ["ces-pull", "apptainer", LARGE],
        "apptainer pull --force (64 MB)": apptainer_pull(LARGE),
    }
    pair = ("repeat ces-pull apptainer", "apptainer pull --force (64 MB)")
    yield from compared(large, pair, repeats=3)


def compared(
    commands: dict[str, list[str]], *pairs: tuple[str, str], repeats: int = REPEATS
) -> Iterator[Row]:
    """Rows of commands that are timed in turns; one that misses is timed again beside its peer."""
    first = measure(commands, repeats)
    for ours, peer in pairs:
        both = {name: commands[name] for name in (ours, peer)}

        def again(both: dict[str, list[str]] = both) -> tuple[list[float], list[float]]:
            mine, other = measure(both, repeats).values()
            return mine, other

        yield settled(f"{ours} / {peer}", (first[ours], first[peer]), again)


def enforced_limits() -> list[str]:
    """What ``podman run`` must be told to have the limits that ours enforces here by default."""
    record = json.loads(on_host(f"ces-run podman --json {IMAGE}"))
    memory = record["resources"]["memory"]
    return [f"--memory={memory}b"] if record["resources"]["enforced"] and memory else []


def many() -> Iterator[Row]:
    """Two hundred containers that do nothing, four at once."""
    on_host("echo --entrypoint=/bin/true >opt")
    by_hand = "podman run --rm --network=none --entrypoint=/bin/true"
    each = {
        "200 ces-run oci": f"ces-run oci --opt-file opt {IMAGE}",
        "200 ces-run podman": f"ces-run podman --opt-file opt {IMAGE}",
        "podman run, four at once": f"{by_hand} {IMAGE}",
    }
    at_once = {
        name: ["sh", "-c", f"seq 200 | xargs -P 4 -I N {line} >/dev/null"]
        for name, line in each.items()
    }
    peer = "podman run, four at once"
    yield from compared(at_once, ("200 ces-run oci", peer), ("200 ces-run podman", peer), repeats=3)


def memory() -> Iterator[Row]:
    """What ces-run holds beside a container, in MB, and what it held before (commit 006ea41)."""
    earlier = build_before()
    if earlier is None:
        return
    parts = ["plugins/module_utils/ces", "roles/ces_tools/files"]
    packed = run(["sh", "-c", 'cd "$0" && tar --create "$@" | base64', earlier, *parts])
    on_host(INSTALL_BEFORE, packed)
    # the earlier build cannot read the images that ours has unpacked
    before = "env XDG_DATA_HOME=$HOME/before/data before/ces-run"
    on_host(f"{before} oci {IMAGE}")
    programs = {"now": "ces-run", "before": before}
    for runner in ("podman", "oci"):
        held: Times = {name: [] for name in programs}
        for _turn in range(max(3, REPEATS // 3)):
            for name, program in programs.items():
                look = PSS.format(program=program, runner=runner, image=IMAGE)
                held[name].append(int(on_host(look)) / 1024)
        name = f"MB of ces-run {runner} beside a container / before"
        yield row(name, held["now"], held["before"])


def images() -> Iterator[Row]:
    """Pulls of an image that is not here, beside the engine's own; and what they cost."""
    on_host(
        "mkdir -p whole && cd whole && tar -C / -cf host.tar usr bin sbin lib lib64 && "
        "printf 'FROM scratch\\nADD host.tar /\\nCMD [\"true\"]\\n' >Containerfile && "
        f"podman build --quiet --tag {WHOLE} . && podman push --quiet {WHOLE} && "
        f"podman rmi {WHOLE} && rm host.tar"
    )
    engines = {"podman": ["podman", "pull", "--quiet", WHOLE], "apptainer": apptainer_pull(WHOLE)}
    ours = {f"cold ces-pull {name}": ["ces-pull", name, WHOLE] for name in RUNNERS}
    peers = {f"{name} pull": argv for name, argv in engines.items()}
    away = {
        f"cold ces-pull {name}": ["sh", "-c", f"ces-rm {name} {WHOLE} || :"] for name in RUNNERS
    }
    away["podman pull"] = ["podman", "rmi", "--ignore", WHOLE]
    costs = costs_of({**ours, **peers}, 3, away)
    for mine, peer in (
        ("cold ces-pull apptainer", "apptainer pull"),
        ("cold ces-pull oci", "podman pull"),
        ("cold ces-pull podman", "podman pull"),
    ):
        for number, what in enumerate(("", "CPU of ", "MB of ")):
            both = ([cost[number] for cost in costs[name]] for name in (mine, peer))
            yield row(f"{what}{mine} / {peer}", *both)
    sizes = "stat -Lc %s large:whole.sif bench.sif"
    size, usual = ([float(number) / 2**20] for number in on_host(sizes).split())
    yield row("MB of an image file / of apptainer's own", size, usual)


def apptainer_pull(image: str) -> list[str]:
    ca = "/etc/containers/certs.d/registry.tre.test:5000/ca.crt"
    auth = "/run/user/$(id -u)/containers/auth.json"
    pull = f"apptainer pull --force --disable-cache --authfile={auth} bench.sif docker://{image}"
    return ["sh", "-c", f"SSL_CERT_FILE={ca} {pull}"]


def tasks() -> Iterator[Row]:
    repeats = max(3, REPEATS // 2) + 1

    def turns() -> Times:
        timed = task_times(str(HERE / "tasks.yml"), f"--extra-vars=bench_repeats={repeats}")
        return {name: seconds[1:] for name, seconds in timed.items()}

    def again() -> tuple[list[float], list[float]]:
        timed = turns()
        return timed["Run with ces_run"], timed["Run with podman_container"]

    warm = turns()
    run, pull = warm["Run with ces_run"], warm["Pull with ces_pull"]
    first = run, warm["Run with podman_container"]
    yield settled("ces_run / podman_container", first, again)
    yield row("ces_run / command: podman run", run, warm["Run with podman as a command"])
    plain = warm["Pull with podman as a command"]
    yield row("repeat ces_pull / command: podman pull", pull, plain)


def jobs() -> Iterator[Row]:
    repeats = max(3, REPEATS // 2) + 1
    timed = task_times(str(HERE / "jobs.yml"), f"--extra-vars=bench_repeats={repeats}")
    ours, peer = (timed[f"Submit with {name}"][1:] for name in ("ces_run", "sbatch"))
    yield row("ces_run with scheduler: slurm / sbatch --wait", ours, peer)


def verification() -> Iterator[Row]:
    """What the module ces_verify does for twenty users, beside one ``podman run`` of each."""
    users = [f"many{number}" for number in range(20)]
    people = [
        {"name": name, "uid": 2100 + number, "projects": ["tre-proj1"]}
        for number, name in enumerate(users)
    ]
    known = [person["name"] for person in SETTINGS["testbed_people"] if person["name"] != "dave"]
    given = {
        "testbed_people": [*SETTINGS["testbed_people"], *people],
        "ces_users": [*known, *users],
    }
    site = (f"--extra-vars=@{HERE / 'site.yml'}", f"--extra-vars={json.dumps(given)}")
    names = ("testbed/people.yml", "playbooks/backend.yml")
    playbook(*(str(TOP / name) for name in names), f"--limit={HOST}", *site)
    job = json.dumps({"repeats": max(3, REPEATS // 2), "users": users})
    program = shlex.quote((HERE / "verification.py").read_text())

    def turns() -> tuple[list[float], list[float]]:
        timed = json.loads(on_host(f"python3 -c {program}", job, "root"))
        return timed["ours"], timed["bare"]

    yield settled("verify of 20 users / podman run of each", turns(), turns)


def subids() -> Iterator[Row]:
    many = json.dumps({"bench_users": SUBID_USERS, "bench_lines": LINES})
    timed = task_times(str(HERE / "subid.yml"), f"--extra-vars={many}")
    # a loop of 10,000 would take an hour: each turn costs the same, so 50 are enough to know
    for users in SUBID_USERS:
        scaled = [sum(timed["A line for each in a loop"]) / LINES * users]
        name = f"subid, {users} users / lineinfile loop (scaled from {LINES})"
        yield row(name, timed[f"Users at once, {users}"], scaled)


def growth() -> Iterator[Row]:
    state = "~/.local/state/ces/runs"
    few = None
    for count in (1, 10, 1000):
        on_host(
            f"rm -rf {state}; ces-run podman {IMAGE} && cd {state} && n=$(ls) && "
            f"for i in $(seq 2 {count}); do cp -r $n $((n + 1000 * i)); done"
        )
        seconds = measure({"ces-run": ["ces-run", "podman", IMAGE]}, 7)["ces-run"]
        few = few or seconds
        yield row(f"ces-run with {count} old records / with 1", seconds, few)
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
    return row(name, timed["ces-images"], timed["podman images"])


def measure(jobs: dict[str, list[str]], repeats: int = REPEATS) -> Times:
    """Times of commands on the host, each once a turn."""
    return {name: [cost[0] for cost in costs] for name, costs in costs_of(jobs, repeats).items()}


def costs_of(
    jobs: dict[str, list[str]], repeats: int, before: dict[str, list[str]] | None = None
) -> dict[str, list[list[float]]]:
    """Seconds, seconds of CPU and MB of commands on the host, each once a turn.

    :param before: what is run before a command, and is no part of it.
    """
    job = json.dumps({"repeats": repeats, "commands": jobs, "before": before or {}})
    program = shlex.quote((HERE / "on_host.py").read_text())
    answer: dict[str, list[list[float]]] = json.loads(on_host(f"python3 -c {program}", job))
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


if __name__ == "__main__":
    main(sys.argv[1:])
