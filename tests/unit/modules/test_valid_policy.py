# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter valid_policy: the controller refuses what the commands would refuse."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.tre.ces.plugins.filter.valid_policy import valid_policy


def test_a_good_policy_is_returned_as_it_is():
    policy = {"registries": [{"prefix": "registry.example.org/tre"}], "runners": ["podman"]}
    assert valid_policy(policy) == policy


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"registry": []}, "registry"),
        ({"cpus": {"maximum": "many"}}, "cpus"),
        ({"registries": [{"prefix": "https://registry.example.org"}]}, "registries"),
        ({"runners": ["podman"], "default_runner": "oci"}, "default_runner"),
    ],
)
def test_a_bad_policy_is_refused_with_its_key(policy, said):
    with pytest.raises(AnsibleFilterError, match=said):
        valid_policy(policy)
