# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server accepts, what it refuses with which words, and what Slurm is asked for."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from ood_support import Portal

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.values.words import split

APP = "batch_container_app"
TOKEN = 'it\'s a "t0ken" $HOME `id`'  # noqa: S105
RIGHT: dict[str, Any] = {
    "cluster": "large",
    "image": "registry.example.org/project/image:2.1",
    "runner": "podman",
    "cores": "4",
    "memory": "8",
    "gpus": "0",
}


def test_slurm_is_asked_for_what_the_form_said(portal: Portal) -> None:
    answer = portal.check(APP, **RIGHT)
    assert answer == {
        "cluster": "large",
        "batch_connect": {"template": "basic"},
        "script": {
            "job_name": "image:2.1",
            "wall_time": 6 * 3600,
            "rerunnable": False,
            "native": ["-N", "1", "-n", "1", "-c", "4", "--mem=8G"],
            "queue_name": "batch",
        },
    }


def test_gpus_wall_time_and_partition_are_the_clusters(portal: Portal) -> None:
    portal.has_cluster("other", {"max_cores": 1, "max_memory": 1, "max_gpus": 4, "wall_time": 0.5})
    script = portal.check(APP, cluster="other", image=RIGHT["image"], gpus="3", memory="1")[
        "script"
    ]
    assert script["native"] == ["-N", "1", "-n", "1", "-c", "1", "--mem=1G", "--gres=gpu:3"]
    assert script["wall_time"] == 1800
    assert "queue_name" not in script


WRONG = [
    (
        {"cluster": "elsewhere"},
        "Cluster: it is none that you may use for this: choose another one.",
    ),
    ({"cluster": ""}, "Cluster: it is missing"),
    ({"image": ""}, "Image: it is missing: write it as registry.example.org/project/image:tag."),
    ({"image": "alpine"}, 'Image: "alpine" cannot be used: write it as'),
    ({"image": "r.example.org/a;id"}, 'Image: "r.example.org/a;id" cannot be used'),
    ({"cores": "9"}, "Cores: Large allows at most 8."),
    ({"cores": "0"}, "Cores: it is at least 1."),
    ({"cores": "1e3"}, 'Cores: "1e3" is no whole number.'),
    ({"memory": "17"}, "Memory (GiB): Large allows at most 16."),
    ({"gpus": "3"}, "GPUs: Large allows at most 2."),
    (
        {"cluster": "small", "runner": "apptainer", "cores": "1", "memory": "1"},
        'Small has podman, not "apptainer"',
    ),
    (
        {"runner": "docker"},
        'Runner: Large has podman and apptainer, not "docker": choose one of these.',
    ),
    (
        {"runner": "apptainer", "reuse_sif": "maybe"},
        "Reuse the image file: it is neither ticked nor not.",
    ),
    ({"container_name": "-rm"}, 'Container name: "-rm" cannot be used: use letters, digits'),
    ({"container_name": "a" * 129}, "Container name: it is longer than 128 characters"),
    (
        {"credentials_file": "token"},
        'Credentials file: "token" cannot be used: give the whole path, such as ~/',
    ),
    ({"container_args": "--name 'Ada"}, "Container arguments: a quote in line 1 is not closed"),
    ({"engine_args": '-v x\r\n"y'}, "Runner options: a quote in line 2 is not closed"),
    (
        {"container_env": "A=1\r\n2=b"},
        "Environment: line 2 is not NAME=value: write one NAME=value a line",
    ),
    ({"container_env": "SECRET"}, "Environment: line 1 is not NAME=value"),
    (
        {"image": "r.example.org/a\n: b"},
        "Image: it holds characters that cannot be printed, or a line break",
    ),
    (
        {"container_args": "a\x00b"},
        "Container arguments: it holds characters that cannot be printed",
    ),
    ({"registry_token": TOKEN}, "Registry user: name the user that the registry token belongs to."),
    (
        {"registry_user": "ada"},
        "Registry token: give it, or a credentials file, or leave the registry user empty",
    ),
    (
        {"registry_user": "ada", "registry_token": TOKEN, "credentials_file": "~/t"},
        "Credentials file: give it or a registry token, not both.",
    ),
]


@pytest.fixture(scope="module")
def refusals(any_portal: Portal) -> list[dict[str, Any]]:
    """What is answered to each of them; asked at once, since Ruby takes its time to start."""
    return any_portal.ask(
        *({"check": APP, "values": {**RIGHT, **values}} for values, _said in WRONG)
    )


@pytest.mark.parametrize("number", range(len(WRONG)), ids=lambda number: WRONG[number][1][:50])
def test_what_is_wrong_is_refused_with_what_to_do(
    refusals: list[dict[str, Any]], number: int
) -> None:
    answer, said = refusals[number], WRONG[number][1]
    assert answer["class"] == "Refused"
    assert said in answer["error"]
    assert TOKEN not in answer["error"]


def test_all_that_is_wrong_is_said_at_once(portal: Portal) -> None:
    error = portal.check(APP, **{**RIGHT, "cores": "99", "image": "x", "container_args": "'"})[
        "error"
    ]
    assert [word in error for word in ("Cores:", "Image:", "Container arguments:")] == [True] * 3


def test_bytes_that_are_no_text_are_refused(portal: Portal) -> None:
    raw = {"base64": base64.b64encode(b"\xff\xfe$(id)").decode()}
    names = (
        "image",
        "registry_user",
        "container_name",
        "container_args",
        "container_env",
        "cores",
        "runner",
    )
    for answer in portal.ask(*({"check": APP, "values": {**RIGHT, name: raw}} for name in names)):
        assert "it is not UTF-8" in answer["error"]


def test_a_refused_form_is_shown_again_without_the_token(portal: Portal) -> None:
    answer = portal.check(
        APP, **{**RIGHT, "registry_user": "ada", "registry_token": TOKEN, "cores": "99"}
    )
    assert answer["shown_again"]["registry_token"] == ""
    assert answer["shown_again"]["registry_user"] == "ada"


def test_a_value_in_a_message_is_short(portal: Portal) -> None:
    error = portal.check(APP, **{**RIGHT, "image": "x" * 400})["error"]
    assert len(error) < 250


def test_empty_fields_have_the_usual_values(portal: Portal) -> None:
    script = portal.check(APP, cluster="large", image=RIGHT["image"], cores="", memory="", gpus="")[
        "script"
    ]
    assert script["native"] == ["-N", "1", "-n", "1", "-c", "1", "--mem=4G"]


HIDDEN: dict[str, Any] = {
    "cluster": "small",
    "gpus": "2",
    "reuse_sif": "1",
    "cores": "1",
    "memory": "1",
}


def test_what_the_form_hides_is_not_asked_for_and_not_remembered(portal: Portal) -> None:
    """It was typed for another cluster or runner that was chosen before."""
    answer = portal.launch(APP, **{**RIGHT, **HIDDEN})
    assert "error" not in answer
    assert (answer["remembered"]["gpus"], answer["remembered"]["reuse_sif"]) == ("0", "0")
    native = portal.check(APP, **{**RIGHT, **HIDDEN})["script"]["native"]
    assert not [word for word in native if word.startswith("--gres")]


def test_a_refused_form_comes_back_as_it_was_typed(portal: Portal) -> None:
    wrong = {**RIGHT, **HIDDEN, "image": "alpine"}
    shown = portal.check(APP, **wrong)["shown_again"]
    assert {name: shown[name] for name in wrong} == wrong


def test_the_job_is_called_as_the_image(portal: Portal) -> None:
    names = ["image:1", "image", "image@sha256:" + "0" * 64]
    wanted = (
        {"check": APP, "values": {**RIGHT, "image": f"r.example.org/a/{name}"}} for name in names
    )
    assert [answer["script"]["job_name"] for answer in portal.ask(*wanted)] == names


def test_a_greeting_is_a_short_job(portal: Portal) -> None:
    script = portal.check("greetings_app", cluster="small", greeting="Hi")["script"]
    assert (script["job_name"], script["wall_time"]) == ("greetings", 300)


QUOTED = [
    *(
        "a 'b c' d",
        "a\\ b",
        "# 'a comment",
        "a # b",
        'x="a \\" b"',
        "a\\\nb",
        "it's a 'b",
        "a#'b",
        "'a\nb'",
        "\\",
        "",
    ),
    *('"', "a 'b' \"c", "a\n# it's\nb", '"\\"', "'\\''", "a\n'b"),
]


def closed(text: str) -> bool:
    try:
        split(text, {})
    except CesError:
        return False
    return True


def test_quotes_are_read_as_the_commands_do(portal: Portal) -> None:
    answers = portal.ask(
        *({"check": APP, "values": {**RIGHT, "container_args": text}} for text in QUOTED)
    )
    accepted = {text: "error" not in answer for text, answer in zip(QUOTED, answers)}
    assert accepted == {text: closed(text) for text in QUOTED}
    assert len(set(accepted.values())) == 2
