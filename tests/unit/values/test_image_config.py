# SPDX-License-Identifier: GPL-3.0-or-later
"""An image's configuration, whoever wrote it and whatever is in it."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system.signals import stop_signal
from ansible_collections.tre.ces.plugins.module_utils.ces.values.bundle import ImageConfig, user_in
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image_config import check_image

PEOPLE = (
    "root:x:0:0:root:/root:/bin/sh\nodd:x:\u00b2:100::/:/bin/sh\nbig:x:99999999999:1::/:/bin/sh\n"
)


@pytest.mark.parametrize(
    "user", ["\u00b2", "\u0661", "9" * 5000, "4294967295", "odd", "big", "0:\u00b2", "-1"]
)
def test_a_number_that_is_no_users_is_none(user: str) -> None:
    assert user_in(user, PEOPLE, "") is None


@pytest.mark.parametrize(
    "user", ["+0", "-0", "00", "0:0:0", ":0", ":", "0::x", "root:+0", "+0:root"]
)
def test_a_user_is_read_as_podman_reads_it(user: str) -> None:
    assert user_in(user, PEOPLE, "root:x:0:\n") == (0, 0, "/root")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Entrypoint", {"a": 1}),
        ("Cmd", [1]),
        ("Env", "A=b"),
        ("Env", ["A=b\0c"]),
        ("WorkingDir", ["/"]),
        ("User", 5),
        ("Volumes", ["/a"]),
        ("ExposedPorts", ["80"]),
        ("StopSignal", 9),
    ],
)
def test_a_field_of_another_kind_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"config\.{field} is ") as caught:
        check_image({"config": {field: value}})
    assert len(str(caught.value)) < 200


def test_what_a_configuration_usually_says_is_taken() -> None:
    said: dict[str, Any] = {
        "config": {"Cmd": None, "Entrypoint": "sh", "Env": [], "Volumes": {"/a": {}}}
    }
    assert check_image(said) == said
    assert check_image({"config": None}) == {"config": None}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Cmd", ["w"] * 50_000),
        ("Env", ["A=" + "x" * 200_000]),
        ("User", "9" * 5000),
        ("StopSignal", "9" * 5000),
        ("WorkingDir", "/a/.." * 100_000),
    ],
)
def test_what_engines_read_however_long_is_read(field: str, value: object) -> None:
    """Whether it can be run is another question, which is asked when it is run."""
    said = {"config": {field: value}, "architecture": "z" * 5000}
    assert check_image(said) == said
    config = ImageConfig.from_image(said)
    assert config.cwd == "/"
    assert stop_signal(config.stop_signal) == signal.SIGTERM


def test_what_is_kept_of_an_image_is_of_its_kind_or_refused() -> None:
    good = ImageConfig(cmd=("a",)).as_dict()
    assert ImageConfig.from_dict(json.loads(json.dumps(good)), "it").cmd == ("a",)
    for change in (
        {"uid": "0"},
        {"uid": -1},
        {"cmd": "a"},
        {"env": [1]},
        {"cwd": 5},
        {"home": "\0"},
    ):
        with pytest.raises(CesError, match="could not read it"):
            ImageConfig.from_dict({**good, **change}, "it")


def anything(chance: random.Random, depth: int = 0) -> Any:
    """A value of JSON, the odd ones more often than the usual."""
    texts = ("", "a", "A=b", "/", "\0", "\u00b2", "\ud800", "9" * 40, "x" * 300, "../..", "0:0")
    plain = (None, True, -1, 0, 2**70, 1e308, float("nan"), *texts)
    kind = chance.randrange(8) if depth < 3 else 0
    if kind < 5:
        return chance.choice(plain)
    several = [anything(chance, depth + 1) for _turn in range(chance.randrange(4))]
    return several if kind < 7 else {str(value): value for value in several}


def configurations(count: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(20_000)  # noqa: S311  the same each time
    fields = ("Entrypoint", "Cmd", "Env", "WorkingDir", "User", "Volumes", "StopSignal")
    for _turn in range(count):
        config = {name: anything(chance) for name in fields if chance.random() < 0.5}
        yield {"architecture": anything(chance), "os": "linux", "config": config}


def test_no_configuration_is_too_odd() -> None:
    """It is refused with the name of the field, or each value of ours has its kind."""
    taken = 0
    for raw in configurations(20_000):
        try:
            said = check_image(raw)
        except ValueError:
            continue
        user = user_in(str((said["config"]).get("User") or ""), PEOPLE, "")
        made = ImageConfig.from_image(said, user or (0, 0, "/"), 0)
        assert ImageConfig.from_dict(made.as_dict(), "it") == made
        taken += 1
    assert taken > 100
