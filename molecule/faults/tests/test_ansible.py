# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules and playbooks: what check mode, a second run, async and become do, and do not."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import ANSIBLE_ENVIRONMENT, SITE, TOP, Play, User, ansible_playbook, playbook
from remote import Host, wait_until

BACKEND = TOP / "playbooks/backend.yml"
PASSWORD = {
    "username": SITE["testbed_registry_user"],
    "password": "{{ testbed_registry_password }}",
}
PLACES = ["/home", "/etc", "/usr/local", "/var/lib/tre-ces", "/var/lib/systemd", "/safe_data"]
# Ansible's own, and what systemd notes by itself
WITHOUT = [".ansible", ".ansible_async", "timers", "cache", "coredump"]
STORAGE = re.compile(r"/var/lib/tre-ces/containers/\d+/storage/(?P<file>.*)")
LOCKS = re.compile(r".*\.lock|db\.sql.*|defaultNetworkBackend|libpod/.*")
"""What podman touches whenever it is asked about an image."""


def listing(host: Host) -> dict[str, Any]:
    """All files with owners, modes, times and digests; of podman's lists without the times.

    podman writes those anew with the same contents, and so does the role's own check, which runs a
    container and removes it.
    """
    found = host.ask("root", "list_files", places=PLACES, without=WITHOUT)
    assert len(found) > 300
    listed = {}
    for path, facts in found.items():
        stored = STORAGE.fullmatch(path)
        if stored is None:
            listed[path] = facts
        elif not LOCKS.fullmatch(stored["file"]):
            listed[path] = [fact for place, fact in enumerate(facts) if place != 4]
    return listed


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {
        path: (before.get(path), after.get(path))
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    }


@pytest.fixture(scope="module")
def settled(users: dict[str, User]) -> None:
    """Everybody has used podman: when it is first asked for anything, it makes its storage."""
    with ThreadPoolExecutor(4) as pool:
        people = [user for user in users.values() if user.name != "dave"]
        assert all(pool.map(lambda user: user.run("podman info").rc == 0, people))


@pytest.fixture
def unchanged(backend: Host, settled: None) -> Iterator[None]:
    """The file system is the same after the test."""
    before = listing(backend)
    yield
    assert differences(before, listing(backend)) == {}


def recap(said: str) -> dict[str, int]:
    lines = re.findall(r"^debian13 .*", said, re.MULTILINE)
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", lines[-1])}


def test_check_mode_of_the_modules_changes_nothing(
    users: dict[str, User], play: Play, unchanged: None
) -> None:
    user = users["bob"]
    image = {"image": user.image, **PASSWORD}
    run = {**image, "project": "proj1", "args": ["-d", "1"], "outputs": "~/never"}
    tasks = [
        {"tre.ces.ces_pull": {**image, "force": True}},
        {"tre.ces.ces_run": {**run, "pull": "always"}, "register": "run"},
        {"ansible.builtin.assert": {"that": ["run is changed", "run.cmd[0] == 'podman'"]}},
        {"tre.ces.ces_image_info": {}},
        {"tre.ces.ces_run_info": {}},
        {
            "tre.ces.subid": {"users": ["alice"], "count": 131072},
            "become_user": "root",
            "register": "subid",
        },
        {"ansible.builtin.assert": {"that": "subid is changed"}},
    ]
    done = play("bob", tasks, "--check", "--diff")
    assert done.rc == 0, done.said
    assert SITE["testbed_registry_password"] not in done.said


def test_dry_runs_of_the_commands_change_nothing(
    alice: User, backend: Host, unchanged: None
) -> None:
    pull = ["ces-pull", "podman", "--dry-run", "--username", SITE["testbed_registry_user"]]
    password = SITE["testbed_registry_password"]
    alice.command(*pull, "--password-stdin", alice.image, stdin=password).ok()
    alice.command("ces-run", "podman", "--dry-run", alice.image).ok()
    alice.command("ces-images").ok()
    alice.command("ces-runs").ok()


def test_a_second_run_of_the_playbook_changes_nothing(backend: Host, unchanged: None) -> None:
    done = playbook(BACKEND, "--diff")
    assert done.rc == 0, done.said
    assert recap(done.said)["changed"] == 0, done.said


def test_check_mode_of_the_playbook_predicts_and_changes_nothing(
    backend: Host, settled: None
) -> None:
    """With a policy and a user that are new."""
    before = listing(backend)
    news = {"ces_users": ["alice", "dave"], "ces_policy": {"limits": "required"}}
    options = ["--check", "--diff", "--limit=ces_backends", f"--extra-vars={json.dumps(news)}"]
    done = playbook(BACKEND, *options)
    assert done.rc == 0, done.said
    assert recap(done.said)["changed"] > 0
    assert '+    "limits": "required"' in done.said or '"limits": "required"' in done.said
    assert differences(before, listing(backend)) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ces_registries_allowed": [{"prefix": "https://r.example.org"}]}, "no https://"),
        ({"ces_registries_allowed": [{"prefix": "r.example.org/x:1"}]}, "no tag"),
        ({"ces_policy": {"registries": []}}, "must not name registries"),
    ],
)
def test_odd_registries_are_refused_in_check_mode_before_anything_changes(
    given: dict[str, Any], said: str
) -> None:
    options = ["--check", "--limit=ces_backends", f"--extra-vars={json.dumps(given)}"]
    done = playbook(BACKEND, *options)
    assert done.rc != 0
    assert said in done.said
    assert recap(done.said)["changed"] == 0, done.said


def test_diff_mode_of_the_registry_shows_no_password(registry: Host) -> None:
    """A user whose password is new: the file of passwords would change, and is not shown."""
    users = {
        "registry_users": [
            {"name": SITE["testbed_registry_user"], "password": SITE["testbed_registry_password"]},
            {"name": "second", "password": "s3cret-of-the-second"},
        ]
    }
    done = playbook(
        BACKEND,
        "--check",
        "--diff",
        "-vvv",
        "--limit=ces_registries",
        f"--extra-vars={json.dumps(users)}",
    )
    assert done.rc == 0, done.said
    shown = done.said
    assert "changed=0" not in shown.split("PLAY RECAP")[1]
    assert "s3cret-of-the-second" not in shown
    assert "$2y$" not in shown and "$2b$" not in shown
    assert SITE["testbed_registry_password"] not in shown


def test_async_and_become_user_run_as_that_user(bob: User, play: Play) -> None:
    arguments = {"image": bob.image, "project": "proj2", "args": ["-d", "2", "-n", "Bob"]}
    tasks = [
        {"tre.ces.ces_run": arguments, "async": 60, "poll": 0, "register": "started"},
        {
            "ansible.builtin.async_status": {"jid": "{{ started.ansible_job_id }}"},
            "register": "ended",
            "until": "ended is finished",
            "retries": 30,
            "delay": 1,
        },
        {
            "ansible.builtin.assert": {
                "that": [
                    "ended.rc == 0",
                    "ended.state == 'COMPLETED'",
                    "ended.stdout_lines[-1] == 'Goodbye Bob!'",
                    "ended.outputs is match('/home/bob/outputs-')",
                ]
            }
        },
    ]
    done = play("bob", tasks)
    assert done.rc == 0, done.said
    assert bob.left() == {}


def test_an_async_limit_ends_the_run_and_the_next_clears_away(bob: User, play: Play) -> None:
    arguments = {"image": bob.image, "project": "proj2", "args": ["-d", "60"]}
    before = bob.last_number()
    begun = time.monotonic()
    # long enough for the run to begin on a busy machine
    done = play("bob", [{"tre.ces.ces_run": arguments, "async": 10, "poll": 1}])
    assert done.rc != 0
    assert time.monotonic() - begun < 50
    number = bob.last_number()
    assert number > before, done.said
    # Ansible's watcher on the host looks every five seconds
    pid = bob.record(number)["pid"]
    wait_until(lambda: bob.run(f"kill -0 {pid}").rc != 0, "the module to be killed", seconds=60)
    bob.command("ces-clean").ok()
    bob.command("ces-run", "podman", "--project", "proj2", bob.image).ok()
    assert bob.record(number)["state"] == "CANCELLED"
    assert bob.left() == {}


@pytest.mark.parametrize("module", ["ces_run", "ces_pull"])
def test_a_user_without_a_session_gets_the_reason(
    backend: Host, play: Play, site: dict[str, Any], module: str
) -> None:
    backend.root("loginctl disable-linger dave; loginctl terminate-user dave 2>/dev/null; true")
    done = play("dave", [{f"tre.ces.{module}": {"image": site["testbed_image"]}}])
    assert done.rc == 2
    assert "there is no /run/user/2004" in done.said
    assert "loginctl enable-linger dave" in done.said
    assert "Traceback" not in done.said


def test_two_subid_tasks_at_once_give_nobody_anothers_range(backend: Host, tmp_path: Path) -> None:
    """Both have planned before either may write: somebody holds the lock until they wait for it."""
    names = [f"s{number}" for number in range(40)]
    backend.root("; ".join(f"useradd -M {name}" for name in names))
    backend.root("cp -p /etc/subuid /root/subuid; cp -p /etc/subgid /root/subgid")
    try:
        backend.root("sed -i '/^s[0-9]*:/d' /etc/subuid /etc/subgid")
        hold = backend.begin("root", "hold_password_lock")
        halves = [names[:25], names[15:]]
        children = [begin_subid(half, tmp_path / f"{half[0]}.yml") for half in halves]
        time.sleep(6)
        assert all(child.poll() is None for child in children), "both wait for the lock"
        hold.communicate(timeout=10)
        for child in children:
            said, _none = child.communicate(timeout=60)
            assert child.returncode == 0, said
        for kind in ("uid", "gid"):
            check_ranges(backend.root(f"cat /etc/sub{kind}"), names)
    finally:
        backend.root("; ".join(f"userdel {name}" for name in names) + "; true")
        backend.root("cp -p /root/subuid /etc/subuid; cp -p /root/subgid /etc/subgid")
        backend.root("rm -f /root/subuid /root/subgid")


def begin_subid(names: list[str], path: Any) -> subprocess.Popen[str]:
    path.write_text(f"""
- hosts: ces_backends
  gather_facts: false
  tasks:
    - tre.ces.subid:
        users: {names}
""")
    return subprocess.Popen(
        ansible_playbook(path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=TOP,
        env=ANSIBLE_ENVIRONMENT,
    )


def check_ranges(text: str, names: list[str]) -> None:
    entries = [line.split(":") for line in text.splitlines() if line]
    owners = [owner for owner, _start, _count in entries]
    assert sorted(owner for owner in owners if owner in names) == sorted(names), "one line each"
    ranges = sorted((int(start), int(start) + int(count)) for _owner, start, count in entries)
    for (_first, end), (start, _last) in zip(ranges, ranges[1:]):
        assert end <= start, f"ranges overlap at {start}"
