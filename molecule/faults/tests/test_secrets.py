# SPDX-License-Identifier: GPL-3.0-or-later
"""A token with quotes, ``$``, backtick and spaces: nobody sees it, and it is nowhere afterwards."""

from __future__ import annotations

import base64
import json
import statistics
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import AUTH, SITE, Play, User
from remote import Host, answer_of, wait_until

MARK = "Zw9qLr5vKdX3mT"
"""Part of the password that is in nothing else, and that no quoting changes."""
USER, PASSWORD = SITE["testbed_registry_user"], SITE["testbed_registry_password"]
PLACES = [
    *("/home", "/root", "/tmp", "/var/tmp", "/run", "/etc", "/var/lib", "/var/log"),
    *("/usr/local", "/safe_data", "/dev/shm"),
]
"""Where something may stay behind."""
WITHOUT = ["/var/lib/apt", "/var/lib/dpkg", "/run/udev"]


def traces() -> list[str]:
    """The mark as it is, and what base64 makes of it, wherever in the text it stands."""
    found = [MARK, AUTH]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + MARK.encode()).decode()
        # the first and the last characters depend on the neighbours
        found.append(encoded[4 if before else 0 : len(encoded) // 4 * 4 - 4])
    return found


def holds_a_trace(text: str) -> list[str]:
    return [trace for trace in traces() if trace in text]


def test_the_password_is_what_it_should_be() -> None:
    assert MARK in PASSWORD
    assert set("'\"$` \\") <= set(PASSWORD)
    assert holds_a_trace(AUTH) and holds_a_trace(base64.b64encode(PASSWORD.encode()).decode())


@pytest.fixture
def unseen(backend: Host) -> Iterator[None]:
    """While the test runs, all processes' arguments are looked at; none may hold the token."""
    watch = backend.begin("root", "watch_cmdlines", words=traces())
    yield
    answer = answer_of(watch)
    assert answer["passes"] > 20
    assert answer["seen"] == []


def test_a_pull_and_a_run_with_the_token_on_standard_input(
    users: dict[str, User], unseen: None
) -> None:
    user = users["bob"]
    user.run(f"ces-rm {user.image}")
    done = user.pull().ok()
    assert holds_a_trace(done.said) == []
    done = user.command("ces-run", "podman", "-v", "--project", "proj1", user.image).ok()
    assert holds_a_trace(done.said) == []


def test_a_pull_that_fails_says_nothing_of_the_token(users: dict[str, User], unseen: None) -> None:
    user = users["bob"]
    missing = user.image.replace(":1.0", ":no-such")
    words = ["--username", USER, "--password-stdin", "-v", missing]
    for command in (["ces-pull", "podman"], ["ces", "pull"]):
        done = user.command(*command, *words, stdin=PASSWORD)
        assert done.rc == 125
        assert holds_a_trace(done.said) == []


def test_a_token_on_the_command_line_is_seen_for_the_first_instants_only(
    users: dict[str, User],
) -> None:
    user = users["bob"]
    argv = ["ces-pull", "podman", "--force", USER, PASSWORD, user.image]
    answers = user.host.ask(user.name, "watch_own", argv=argv, times=10, word=MARK)
    for _visible, status, said in answers:
        assert status == 0, said
        assert "a token on the command line can be seen by others" in said
        assert holds_a_trace(said) == []
    visible = sorted(milliseconds for milliseconds, _status, _said in answers)
    print(f"visible for {statistics.median(visible)} ms (median), {visible[-1]} ms at most")
    assert statistics.median(visible) < 250, "a python that starts, on a busy machine"


def test_after_the_first_instants_no_process_of_that_pull_shows_the_token(
    users: dict[str, User], backend: Host
) -> None:
    """Neither podman nor any helper: of all processes only the command itself may be caught."""
    user = users["bob"]
    watch = backend.begin("root", "watch_cmdlines", words=traces())
    argv = ["ces-pull", "podman", "--force", USER, PASSWORD, user.image]
    answers = backend.ask(user.name, "watch_own", argv=argv, times=5, word=MARK)
    assert [status for _visible, status, _said in answers] == [0] * 5
    seen = answer_of(watch)["seen"]
    assert all("ces-pull" in program for program, _milliseconds in seen), seen


TYPED = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
"""A token as some registries give it, which nobody has."""


@pytest.mark.parametrize(
    "line",
    [
        "ces-pull podman alice IMAGE TOKEN",
        "ces-pull podman TOKEN",
        "ces-pull podman --authfile TOKEN IMAGE",
        "ces-pull podman --username a:TOKEN --password-stdin IMAGE",
        "ces-pull podman --TOKEN IMAGE",
        "ces-run podman --env-file TOKEN IMAGE",
        "ces-run podman -n ./TOKEN IMAGE",
        "ces-run podman -m TOKEN IMAGE",
        "ces TOKEN",
    ],
)
def test_a_token_in_the_wrong_place_is_not_repeated(alice: User, line: str) -> None:
    done = alice.run(line.replace("TOKEN", TYPED).replace("IMAGE", alice.image), stdin="x")
    assert done.rc == 125
    assert TYPED[4:20] not in done.said


TASKS: list[dict[str, Any]] = [
    {
        "tre.ces.ces_pull": {
            "image": "{{ testbed_image }}",
            "username": "{{ testbed_registry_user }}",
            "password": "{{ testbed_registry_password }}",
            "force": True,
        },
    },
    {
        "tre.ces.ces_run": {
            "image": "{{ testbed_image }}",
            "username": "{{ testbed_registry_user }}",
            "password": "{{ testbed_registry_password }}",
            "pull": "always",
        },
    },
    {
        "tre.ces.ces_pull": {
            "image": "{{ testbed_registry }}/tre/no-such:1.0",
            "username": "{{ testbed_registry_user }}",
            "password": "{{ testbed_registry_password }}",
        },
        "register": "failing",
        "failed_when": "failing is success",
    },
]


@pytest.mark.parametrize("mode", [["--diff"], ["--check", "--diff"]], ids=["real", "check"])
def test_tasks_with_the_token_at_the_highest_verbosity(
    alice: User, play: Play, unseen: None, mode: list[str]
) -> None:
    done = play("alice", TASKS, "-vvv", *mode)
    assert done.rc == 0, done.said
    assert "no such image or tag" in done.out
    assert holds_a_trace(done.said) == []


def test_an_asynchronous_task_with_the_token(alice: User, play: Play, unseen: None) -> None:
    """Of somebody who logs in: Ansible cannot tidy up after async and become (see the next)."""
    task = {**TASKS[0], "async": 60, "poll": 1}
    done = play("alice", [task], "-vvv", ansible_user="alice", ansible_become=False)
    assert done.rc == 0, done.said
    assert holds_a_trace(done.said) == []
    # Ansible's own watcher looks every five seconds whether the task has ended, and then tidies up
    arguments = "find ~/.ansible/tmp -name 'AnsiballZ_*'"
    wait_until(lambda: alice.run(arguments).ok().out == "", "Ansible to remove its files", 15)


def test_an_asynchronous_task_of_whom_one_becomes_takes_an_auth_file(
    alice: User, play: Play, unseen: None
) -> None:
    """Ansible leaves the arguments of such a task in /var/tmp, hence no password among them."""
    text = json.dumps({"auths": {SITE["testbed_registry"]: {"auth": AUTH}}})
    alice.command("tee", "auth.json", stdin=text).ok()
    arguments = {"image": alice.image, "authfile": f"{alice.home}/auth.json", "force": True}
    done = play("alice", [{"tre.ces.ces_pull": arguments, "async": 60, "poll": 1}], "-vvv")
    alice.run("rm auth.json").ok()
    assert done.rc == 0, done.said
    assert holds_a_trace(done.said) == []


def test_nothing_of_it_is_left_anywhere(backend: Host) -> None:
    """After all that was done above, and in the tests before."""
    answer = backend.ask("root", "find_words", places=PLACES, words=traces(), without=WITHOUT)
    assert answer["looked_at"] > 500
    assert answer["found"] == []
    journal = backend.root("journalctl --quiet --no-pager --output=json --all")
    assert holds_a_trace(journal) == []
