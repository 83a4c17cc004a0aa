# SPDX-License-Identifier: GPL-3.0-or-later
"""What the work of the researchers left behind (side_effect.yml), seen from outside."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from typing import Any

import pytest
from conftest import BackEnd
from hello_tre import HelloTre, Mount

# user, run, state, exit status, project data
RUNS = [
    ("alice", 1, "COMPLETED", 0, "/safe_data/proj1"),
    ("alice", 2, "COMPLETED", 0, "/safe_data/proj1"),
    ("alice", 3, "FAILED", 2, "/safe_data/proj1"),
    ("alice", 4, "TIMEOUT", 124, "/safe_data/proj1"),
    ("alice", 5, "CANCELLED", 143, "/safe_data/proj1"),
    ("alice", 6, "FAILED", 125, "/safe_data/proj1"),  # its name was taken
    ("bob", 1, "COMPLETED", 0, "/safe_data/proj2"),
    ("bob", 2, "FAILED", 2, "/safe_data/proj1"),
    ("bob", 3, "FAILED", 2, "/safe_data/proj1"),
    ("bob", 4, "COMPLETED", 0, "/safe_data/proj1"),
    ("carol", 1, "COMPLETED", 0, "/home/carol/safe_data"),
]
# the project's directory belongs to root and its group, whom the container does not know
PROJECT = Mount(
    owner=r"nobody \(65534\) nogroup\(65534\)", mode="drwxrws---", file_system="ext4", entries=1
)
HELLO = {
    ("alice", 1): HelloTre(safe_data=PROJECT),
    ("alice", 2): HelloTre(safe_data=PROJECT, name='Ada "L" $HOME'),
    ("bob", 1): HelloTre(safe_data=PROJECT, name='Ada "L" $HOME', greeting='Good "day" $HOME'),
    ("bob", 4): HelloTre(safe_data=PROJECT),
    ("carol", 1): HelloTre(safe_data=Mount(mode="drwx------", file_system="ext4", entries=0)),
}
USERS = ["alice", "bob", "carol"]


def digest_in_registry(registry: BackEnd, image: str) -> str:
    """What the registry's own files say of a tag."""
    path, tag = image.split("/", 1)[1].split(":")
    return registry.read(
        f"/var/lib/docker-registry/docker/registry/v2/repositories/{path}/_manifests/tags/{tag}/current/link"
    ).strip()


@pytest.mark.parametrize("user", USERS)
def test_podman_has_the_image_of_the_registry_and_no_other(
    backend: BackEnd, registry: BackEnd, site: dict[str, Any], user: str
) -> None:
    images = backend.json("podman", "images", "--format", "json", user=user)
    assert [image["Names"] for image in images] == [[site["testbed_image"]]]
    assert images[0]["Digest"] == digest_in_registry(registry, site["testbed_image"])


@pytest.mark.parametrize(("user", "number", "state", "rc", "data"), RUNS)
def test_each_run_has_a_record(
    backend: BackEnd,
    registry: BackEnd,
    site: dict[str, Any],
    user: str,
    number: int,
    state: str,
    rc: int,
    data: str,
) -> None:
    record = backend.record(user, number)
    assert (record["state"], record["rc"]) == (state, rc)
    assert (record["image"], record["runner"], record["user"]) == (
        site["testbed_image"],
        "podman",
        user,
    )
    assert record["digest"] == digest_in_registry(registry, site["testbed_image"])
    assert record["host"] == backend.name
    assert {mount["target"]: mount["source"] for mount in record["mounts"]}["/safe_data"] == data
    started, ended = (
        datetime.fromisoformat(record[key].replace("Z", "+00:00")) for key in ("started", "ended")
    )
    assert record["duration"] == pytest.approx((ended - started).total_seconds(), abs=0.1)
    assert bool(record["reason"]) == (state != "COMPLETED")


@pytest.mark.parametrize("user", USERS)
def test_no_other_run_was_recorded(backend: BackEnd, user: str) -> None:
    there = backend.says("ls", f"/home/{user}/.local/state/ces/runs").split()
    assert sorted(int(name) for name in there) == [run[1] for run in RUNS if run[0] == user]


@pytest.mark.parametrize(("user", "number"), HELLO)
def test_the_canary_said_what_it_should(backend: BackEnd, user: str, number: int) -> None:
    HELLO[user, number].check(backend.log(user, number))


@pytest.mark.parametrize(("user", "number"), HELLO)
def test_outputs_stay_and_are_the_users_own(backend: BackEnd, user: str, number: int) -> None:
    outputs = backend.record(user, number)["outputs"]
    text = backend.host.file(f"{outputs}/safe_outputs.txt")
    assert text.content_string == "This text is in safe_outputs.txt\n"
    assert (text.user, text.group) == (user, user)
    if "outputs-" in outputs:
        assert backend.host.file(outputs).mode == 0o700


def test_scratch_is_gone_unless_the_user_chose_it(backend: BackEnd) -> None:
    assert backend.says("find", "/home", "-maxdepth", "2", "-name", "scratch-*") == ""
    assert backend.host.file("/home/bob/work").is_directory


def test_outputs_that_the_user_chose_are_used(backend: BackEnd) -> None:
    assert backend.host.file("/home/bob/results/safe_outputs.txt").exists
    assert not backend.host.file("/home/bob/outputs-4").exists


@pytest.mark.parametrize("user", USERS)
def test_no_container_and_no_environment_file_is_left(backend: BackEnd, user: str) -> None:
    assert backend.json("podman", "ps", "--all", "--format", "json", user=user) == []
    uid = backend.host.user(user).uid
    assert backend.says("find", f"/run/user/{uid}/ces", "-path", "*/run-*") == ""


def test_runs_are_in_the_system_log(backend: BackEnd) -> None:
    log = backend.says(
        "journalctl", "--quiet", "--no-pager", "--output=json", "--identifier=tre-ces"
    )
    messages = [json.loads(line)["MESSAGE"] for line in log.splitlines()]
    assert [
        message for message in messages if re.search(r"\balice\b", message) and "TIMEOUT" in message
    ]


def test_the_password_is_nowhere(backend: BackEnd, site: dict[str, Any]) -> None:
    """Neither as it is nor as registries encode it: in no file and no log of the users."""
    user, password = site["testbed_registry_user"], site["testbed_registry_password"]
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    where = ["/home", "/run/user", "/tmp", "/var/tmp", "/var/log", "/etc/ces", "/var/lib/tre-ces"]
    for secret in (password, encoded):
        found = backend.host.run(
            "grep --recursive --files-with-matches --fixed-strings -e %s " + " ".join(where), secret
        )
        assert found.stdout == ""
        assert found.rc == 1 or (found.rc == 2 and "No such" in found.stderr)
        assert secret not in backend.says("journalctl", "--quiet", "--no-pager", "--output=cat")


def test_environment_values_are_in_no_record(backend: BackEnd) -> None:
    done = backend.host.run(
        "grep --recursive --fixed-strings 'nobody may see' /home/bob/.local/state/ces /run/user"
    )
    assert (done.rc, done.stdout) == (1, "")
