# SPDX-License-Identifier: GPL-3.0-or-later
"""Image files that all users share: a project's members keep them, everybody runs them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import User
from remote import Done, Host

STORE = "/srv/ces-images"
POLICY = "/etc/ces/policy.json"


@pytest.fixture(scope="module")
def members(backend: Host, users: dict[str, User], site: dict[str, Any]) -> Iterator[list[User]]:
    """Ten members of the project that owns the shared directory, with their logins stored."""
    policy = json.loads(backend.root(f"cat {POLICY}"))
    backend.root(f"install -d -m 2775 -g tre-proj1 {STORE}; cp -a {POLICY} {POLICY}.kept")
    backend.root(f"cat >{POLICY}", stdin=json.dumps({**policy, "sif_dir": STORE}))
    yield [users[f"user{number}"] for number in range(10)]
    backend.root(f"mv {POLICY}.kept {POLICY}; rm -rf {STORE}")


def pulled(user: User, site: dict[str, Any]) -> Done:
    words = ["--username", site["testbed_registry_user"], "--password-stdin", user.image]
    line = shlex.join(["ces-pull", "apptainer", *words])
    return user.run(f"cd ~ && {line}", stdin=site["testbed_registry_password"], timeout=180)


def test_ten_users_convert_an_image_once(
    members: list[User], site: dict[str, Any], backend: Host
) -> None:
    with ThreadPoolExecutor(len(members)) as pool:
        ends = [done.ok() for done in pool.map(lambda user: pulled(user, site), members)]
    assert sum(done.err.count("Creating SIF file") for done in ends) == 1
    assert len(backend.root(f"ls {STORE}/digests").split()) == 1
    own = " ".join(f"{user.home}/.local/share/ces/sif" for user in members)
    assert backend.root(f"find {own} -mindepth 1 2>/dev/null; true") == ""


def test_whoever_pulled_it_everybody_runs_it(members: list[User], backend: Host) -> None:
    for user in (members[0], members[-1]):
        line = f"cd ~ && ces-run apptainer --pull never {user.image} --name Ada"
        assert "Goodbye Ada!" in user.run(line).ok().out
        assert user.left() == {}


def test_who_may_not_write_there_runs_it_and_cannot_change_it(
    members: list[User], carol: User, backend: Host
) -> None:
    file = backend.root(f"ls {STORE}/digests/*.sif").strip()
    for harm in (f"rm -f {file}", f"truncate -s 0 {file}", f"touch {STORE}/digests/x"):
        assert carol.run(harm).rc != 0
    done = carol.run(f"cd ~ && ces-run apptainer --pull never --dry-run {carol.image}")
    # she has no project: that is what is missing, not the image
    assert done.rc == 125 and "project" in done.err, done
    images = json.loads(carol.run("ces-images --json").ok().out)
    assert file in [image["file"] for image in images]


def test_what_one_removes_is_gone_for_all(
    members: list[User], site: dict[str, Any], backend: Host
) -> None:
    members[3].command("ces-rm", "apptainer", members[3].image).ok()
    assert backend.root(f"ls {STORE}/digests") == ""
    done = members[4].run(f"cd ~ && ces-run apptainer --pull never {members[4].image}")
    assert done.rc == 125 and "not in your storage" in done.err, done
    assert ": pulled" in pulled(members[4], site).ok().out
