# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters valid_policy and valid_registries refuse on the controller what commands would refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from role_values import render

from ansible_collections.tre.ces.plugins.filter.valid_policy import valid_policy
from ansible_collections.tre.ces.plugins.filter.valid_registries import valid_registries
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import Policy


def test_a_good_policy_is_returned_as_it_is() -> None:
    policy = {"registries": [{"prefix": "registry.example.org/tre"}], "runners": ["podman"]}
    assert valid_policy(policy) == policy


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"registry": []}, "registry"),
        ({"cpus": {"maximum": "many"}}, "cpus"),
        ({"registries": [{"prefix": "https://registry.example.org"}]}, "registries"),
        ({"runners": ["podman"], "default_runner": "oci"}, "default_runner"),
        ({"runners": ["docker"]}, "no runner of that name. write podman"),
        ({"runners": ["singularity"], "default_runner": "singularity"}, "write apptainer"),
    ],
)
def test_a_bad_policy_is_refused_with_its_key(policy: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=said):
        valid_policy(policy)


@pytest.mark.parametrize(
    ("given", "one_form"),
    [
        ([], []),
        ([{"prefix": "registry.example.org/p"}], [{"prefix": "registry.example.org/p"}]),
        ([{"prefix": "registry.example.org/p/"}], [{"prefix": "registry.example.org/p"}]),
        ([{"prefix": "registry.example.org:5000/"}], [{"prefix": "registry.example.org:5000"}]),
        (
            [{"prefix": "registry.example.org/", "rewrite": "mirror.test:5000/x/", "ca": "a.pem"}],
            [{"prefix": "registry.example.org", "rewrite": "mirror.test:5000/x", "ca": "a.pem"}],
        ),
        (
            [{"prefix": "registry.example.org", "rewrite": "", "ca": None}],
            [{"prefix": "registry.example.org"}],
        ),
        # one authority goes, another one comes
        (
            [{"prefix": "r.test", "ca": "old.pem"}, {"prefix": "r.test", "ca": "new.pem"}],
            [{"prefix": "r.test", "ca": "old.pem"}, {"prefix": "r.test", "ca": "new.pem"}],
        ),
    ],
)
def test_registries_have_one_form(
    given: list[dict[str, str | None]], one_form: list[dict[str, str]]
) -> None:
    assert valid_registries(given) == one_form
    assert valid_registries(one_form) == one_form


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "must be a list"),
        ("registry.example.org", "must be a list"),
        (["registry.example.org"], "must be a list"),
        ([{}], r"registries\[0\].prefix"),
        ([{"prefix": "r.test"}, {"prefix": "http://r.test"}], r"registries\[1\].prefix"),
        ([{"prefix": "https://registry.example.org"}], "no https:"),
        ([{"prefix": "*"}], r"no \*"),
        ([{"prefix": "*.example.org"}], r"no \*"),
        ([{"prefix": "registry.example.org/*"}], r"no \*"),
        ([{"prefix": "Registry.example.org"}], "in lower case"),
        ([{"prefix": "registry.example.org/p:1.0"}], "no tag"),
        ([{"prefix": " registry.example.org"}], "prefix"),
        ([{"prefix": "/registry.example.org"}], "prefix"),
        ([{"prefix": "registry.example.org//p"}], "prefix"),
        ([{"prefix": "registry.example.org", "rewrite": "http://m.test"}], "rewrite"),
        ([{"prefix": "r.test", "rewrite": "a.test"}, {"prefix": "r.test/"}], "there twice"),
        ([{"prefix": "r.test", "insecure": True}], "insecure"),
    ],
)
def test_registries_that_podman_would_understand_otherwise_are_refused(
    given: list[dict[str, Any] | str] | str | None, said: str
) -> None:
    with pytest.raises(AnsibleFilterError, match=said):
        valid_registries(given)


def test_podman_accepts_what_the_commands_accept() -> None:
    """By the names in policy.json, which podman compares without any other form."""
    given = [{"prefix": "registry.example.org/p/"}, {"prefix": "r.test/", "rewrite": "m.test/x/"}]
    text = render("podman", "policy.json.j2", podman_registries=given)
    places = json.loads(text)["transports"]["docker"]
    assert set(places) == {"registry.example.org/p", "r.test", "m.test/x"}
    policy = Policy.from_dict({"registries": given}, "policy")
    for name in ("registry.example.org/p/image", "r.test/a/b"):
        image = ImageRef.parse(name)
        source = policy.registry_for(image).source(image).name
        assert any(source.startswith(f"{place}/") for place in places)
