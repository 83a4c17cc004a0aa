# SPDX-License-Identifier: GPL-3.0-or-later
"""The form asks a real registry about the image, before there is a job."""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest
from island import Traveller
from remote import Host
from users import IMAGE, SITE, TOKEN, User

APP = "batch_container_app"
USER = SITE["testbed_registry_user"]
LOGIN = {"registry_user": USER, "registry_token": TOKEN}
NO_TAG = IMAGE.replace(":1.0", ":no-such")


def refusal(user: User, **values: Any) -> str:
    """What the form says; empty where it would be launched."""
    wanted = {"cluster": "tre", "image": IMAGE, "memory": "1", **values}
    (answer,) = user.ask({"check": APP, "values": wanted})
    assert TOKEN not in str(answer)
    return str(answer.get("error", ""))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (LOGIN, ""),
        ({**LOGIN, "runner": "apptainer"}, ""),
        (
            {**LOGIN, "image": NO_TAG},
            "Image: the registry has no such image or tag: check the image's name and tag.",
        ),
        (
            {**LOGIN, "registry_token": "another"},
            "Registry token: it does not accept the user name and token: check both, and that the"
            " token has not expired.",
        ),
        (
            {},
            "Registry user: it does not show this image to everybody: the image may be private:"
            " give a user name and token (Registry user and Registry token). If you ran podman"
            " login on the cluster, write the file that it made into Credentials file:"
            " /run/user/2001/containers/auth.json.",
        ),
        (
            {"image": "registry.example.org/a/b:1"},
            "Image: its registry is not allowed on this back-end (allowed: ",
        ),
    ],
    ids=["right", "apptainer", "tag", "token", "private", "registry"],
)
def test_what_the_registry_says_is_said_in_the_form(
    alice: User, values: dict[str, str], says: str
) -> None:
    said = refusal(alice, **values)
    assert said == says if says.endswith(".") or not says else said.startswith(says), said


def test_no_job_is_queued_for_it(alice: User) -> None:
    answer = alice.try_launch(APP, image=NO_TAG, memory="1", **LOGIN)
    assert answer["error"].startswith("Image: the registry has no such image")
    assert alice.run("squeue -h -u alice").ok().out == ""


def test_a_credentials_file_is_tried(alice: User) -> None:
    alice.run("umask 077; cat >image-check-token", stdin="another").ok()
    try:
        said = refusal(alice, registry_user=USER, credentials_file="~/image-check-token")
        assert said.startswith("Credentials file: it does not accept the user name and token")
        alice.run("umask 077; cat >image-check-token", stdin=f"{TOKEN}\n").ok()
        assert refusal(alice, registry_user=USER, credentials_file="~/image-check-token") == ""
    finally:
        alice.run("rm image-check-token").ok()


def test_a_registry_that_is_down_keeps_nobody_from_the_queue(
    alice: User, hosts: dict[str, Host]
) -> None:
    registry = hosts["registry"]
    registry.root("systemctl stop docker-registry")
    try:
        assert refusal(alice, **LOGIN, cores="1") == ""
    finally:
        registry.root("systemctl start docker-registry")
    assert refusal(alice, **{**LOGIN, "image": NO_TAG}).startswith("Image: ")


def test_a_cluster_with_homes_of_its_own_is_asked_itself(carol: Traveller, portal: Host) -> None:
    user = User.named("carol", portal)
    assert refusal(user, cluster="island", **LOGIN) == ""
    said = refusal(user, cluster="island", **{**LOGIN, "image": NO_TAG})
    assert said == "Image: the registry has no such image or tag: check the image's name and tag."
    assert carol.traces(TOKEN) == ""


def test_a_launch_takes_hardly_longer_by_it(bob: User) -> None:
    """Beside the same of a cluster for which nobody is asked."""

    def seconds(cluster: str) -> float:
        begin = time.monotonic()
        assert refusal(bob, cluster=cluster, **LOGIN) == ""
        return time.monotonic() - begin

    pairs = [(seconds("tre"), seconds("tre-small")) for _round in range(5)]
    more = statistics.median(asking - plain for asking, plain in pairs)
    print(f"a form asks the registry in {more:.2f} s")
    assert more < 3
