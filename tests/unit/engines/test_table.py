# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of engines: each row by itself, and what elsewhere must agree with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.engines import other_engines
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import (
    NAMES,
    known_runners,
    runner_named,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.certificate import (
    OTHER_NAME,
    OUT_OF_TIME,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import NETWORKS, Policy

ENGINES = Path(__file__).resolve().parents[3] / "plugins/module_utils/ces/engines"
SHARED = {"images"}
"""Directories there that are no engine's."""


def test_every_directory_of_an_engine_is_a_row() -> None:
    there = {path.parent.name for path in ENGINES.glob("*/__init__.py")}
    assert there == {*NAMES, *SHARED}


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_whole(name: str) -> None:
    runner = runner_named(name)
    assert runner.name == name
    assert runner.programs and set(runner.networks) <= set(NETWORKS)
    assert callable(runner.trial())
    assert set(runner.traits().oldest) | set(runner.traits().later) <= set(runner.programs)


def test_names_that_no_engine_has_are_left_out() -> None:
    assert list(known_runners(("moby", "podman"))) == ["podman"]
    assert tuple(known_runners()) == NAMES


def test_without_a_policy_the_engines_are_some_of_the_table() -> None:
    assert {Policy().default_runner, *Policy().runners} <= set(NAMES)


def test_an_engine_of_the_table_is_none_that_is_not_here() -> None:
    assert {*other_engines._INSTEAD, *other_engines._OTHERS} & set(NAMES) == set()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("said", "cure"),
    [
        (
            "x509: cannot validate certificate for 10.0.0.5 because it doesn't contain any IP SANs",
            OTHER_NAME,
        ),
        ("x509: certificate is valid for r.example.org, not s.example.org", OTHER_NAME),
        ("x509: certificate is not valid for any names, but wanted to match r.test", OTHER_NAME),
        ("x509: certificate relies on legacy Common Name field, use SANs instead", OTHER_NAME),
        ("x509: certificate has expired or is not yet valid: current time is", OUT_OF_TIME),
        ("x509: certificate signed by unknown authority", "the registry's ca"),
        ("dial tcp 10.0.0.5:443: connect: connection refused", "does not answer"),
    ],
)
def test_what_engines_say_of_a_registry_leads_to_its_cure(name: str, said: str, cure: str) -> None:
    words = f'Get "https://r.test/v2/": {said}'
    assert cure in runner_named(name).hint(words)
