# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody asks for is checked before anything happens; records of it are read back whole."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import InvalidValue
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.record import RunRecord, utc_now
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import (
    Credentials,
    PullSpec,
    RunSpec,
)

IMAGE = ImageRef.parse("registry.example.org/app:1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "-x"},
        {"name": ".x"},
        {"name": "a b"},
        {"name": "a/b"},
        {"name": "a\n"},
        {"name": "ä"},
        {"name": "a" * 129},
        {"pull": "Always"},
        {"pull": "newer"},
        {"args": ["a", "b\0c"]},
        {"args": ["a" * 128 * 1024]},
        {"args": ["\u20ac" * 43691]},
        {"args": ["\ud800"]},
        {"env": {"A B": "x"}},
        {"env": {"A": "x\ny"}},
        {"memory": "much"},
        {"cpus": 0},
        {"timeout": "soon"},
    ],
)
def test_a_run_that_can_be_seen_to_be_wrong_cannot_be_asked_for(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        RunSpec(IMAGE, "podman", **wrong)


@pytest.mark.parametrize(
    "right",
    [
        {},
        {"name": "a" * 128},
        {"name": "0_A.b-c"},
        {"pull": "never"},
        {"args": ["", "-x", "--", "a\nb", "$HOME", "\u20ac" * 43690, "\udcff"]},
        {"env": {"A": "", "_b1": "'\"$ \\"}},
        {"memory": "512MiB", "cpus": "0.5", "timeout": "1h30m"},
    ],
)
def test_whatever_a_container_can_be_given_may_be_asked_for(right: dict[str, Any]) -> None:
    spec = RunSpec(IMAGE, "podman", **right)
    assert all(getattr(spec, key) == value for key, value in right.items())


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "ada"},
        {"password": "s3cret"},
        {"username": "a:da", "password": "s3cret"},
        {"username": "a\nda", "password": "s3cret"},
        {"username": "ada", "password": "s3cret", "authfile": "/x"},
    ],
)
def test_half_or_doubled_credentials_are_refused_without_showing_the_secret(
    wrong: dict[str, str],
) -> None:
    with pytest.raises(InvalidValue) as caught:
        Credentials(**wrong)
    assert "s3cret" not in str(caught.value)


def test_secrets_are_not_in_any_repr() -> None:
    credentials = Credentials("ada", "s3cret")
    spec = RunSpec(IMAGE, "podman", env={"TOKEN": "s3cret"}, credentials=credentials)
    assert "s3cret" not in f"{credentials!r} {PullSpec(IMAGE, 'podman', credentials)!r} {spec!r}"
    assert credentials.given
    assert not Credentials(authfile="/x").given
    assert not Credentials().given


def test_a_record_comes_back_from_json_and_later_versions_keys_are_passed_over() -> None:
    record = RunRecord(7, state="FAILED", rc=3, command=["podman"], mounts=[], warnings=["w"])
    raw = json.loads(json.dumps(record.as_dict()))
    assert RunRecord.from_dict({**raw, "added_later": 1}) == record


def test_times_in_records_are_utc_in_iso_8601() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", utc_now())
