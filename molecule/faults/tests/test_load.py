# SPDX-License-Identifier: GPL-3.0-or-later
"""Many at once: every run has its own number, directories and record, and none is lost."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from conftest import SITE, User
from remote import Host

SCRIPT = """test -z "$(ls -A /scratch /safe_outputs | grep -v :)" || exit 9
printf "run $GREETING begins"; echo "$GREETING" >/safe_outputs/result; touch /scratch/mine
sleep 1; echo " and ends" """
MANY = [f"user{number}" for number in range(10)]


def start_at_once(user: User, count: int, project: str = "proj1") -> list[list[Any]]:
    """That many ``ces-run``, each with a greeting of its own."""
    user.command("tee", "sh", stdin="--entrypoint=/bin/sh").ok()
    argv = ["ces-run", "podman", "--project", project, "--opt-file", "sh"]
    argv += ["--env-file", "/dev/stdin", user.image, "-c", SCRIPT]
    commands = [{"argv": argv, "stdin": f"GREETING={index}\n"} for index in range(count)]
    return list(user.host.ask(user.name, "run_each", commands=commands, at_once=True, timeout=300))


def records_of(user: User, first: int) -> list[dict[str, Any]]:
    numbers = f"$(seq -f %g/run.json {first} $(ls | sort -n | tail -n 1))"
    script = f"cd ~{user.name}/.local/state/ces/runs && cat {numbers}"
    text, records = user.host.root(script), []
    while text.strip():
        record, end = json.JSONDecoder().raw_decode(text.lstrip())
        text = text.lstrip()[end:]
        records.append(record)
    return records


def check_each_has_its_own(user: User, answers: list[list[Any]], first: int) -> None:
    assert [answer for answer in answers if answer[0] != 0] == []
    records = records_of(user, first)
    assert [record["run_id"] for record in records] == list(range(first, first + len(answers)))
    assert {record["state"] for record in records} == {"COMPLETED"}
    outputs = {record["outputs"] for record in records}
    scratch = {record["scratch"] for record in records}
    assert len(outputs) == len(scratch) == len(answers)
    # each log has the output of one run alone, and all are there
    logs = " ".join(record["log"] for record in records)
    said = user.host.root(f"cat {logs}").split("\n")[:-1]
    assert sorted(said) == sorted(f"run {index} begins and ends" for index in range(len(answers)))
    written = user.host.root(f"cat {' '.join(f'{path}/result' for path in outputs)}").split()
    assert sorted(map(int, written)) == list(range(len(answers)))
    assert user.left() == {}


def test_a_hundred_runs_of_one_user_at_once(alice: User) -> None:
    first = alice.last_number() + 1
    answers = start_at_once(alice, 100)
    print(f"100 runs in {max(seconds for _status, _said, seconds in answers):.1f} s")
    check_each_has_its_own(alice, answers, first)


def test_ten_runs_each_of_ten_users_at_once(users: dict[str, User]) -> None:
    many = [users[name] for name in MANY]
    with ThreadPoolExecutor(len(many)) as pool:
        pulls = list(pool.map(lambda user: user.pull(), many))
        assert [done for done in pulls if done.rc] == []
        first = {user.name: user.last_number() + 1 for user in many}
        answers = list(pool.map(lambda user: start_at_once(user, 10), many))
    for user, of_user in zip(many, answers):
        check_each_has_its_own(user, of_user, first[user.name])


def test_runs_that_all_pull_are_one_transfer(users: dict[str, User], backend: Host) -> None:
    """The first run of an image by ten commands at once."""
    user = users["bob"]
    user.pull().ok()
    user.command("ces-rm", user.image).ok()
    login = f"podman login --username {SITE['testbed_registry_user']} --password-stdin"
    registry = SITE["testbed_registry"]
    user.run(f"{login} {registry}", stdin=SITE["testbed_registry_password"]).ok()
    first = user.last_number() + 1
    try:
        answers = start_at_once(user, 10)
    finally:
        user.command("podman", "logout", registry).ok()
    assert [answer for answer in answers if answer[0] != 0] == []
    assert len([said for _status, said, _seconds in answers if "Copying blob" in said]) == 1
    check_each_has_its_own(user, answers, first)
