# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy file: every key, and errors that name the file and the key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, RefusedByPolicy
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import (
    AllowedRegistry,
    OptionChanges,
    Policy,
    SafeData,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.resources import Limits

ORIGIN = "/etc/ces/policy.json"
GIB = 1024**3
DIGEST = "sha256:" + "0" * 64

KEYS = [
    # contents of the file, and what the policy then is where it differs from the default
    ({}, {}),
    ({"registries": []}, {}),
    (
        {"registries": [{"prefix": "r.example.org/p"}, {"prefix": "r.example.org:5000/"}]},
        {"registries": (AllowedRegistry("r.example.org/p"), AllowedRegistry("r.example.org:5000"))},
    ),
    (
        {"registries": [{"prefix": "docker.io", "rewrite": "mirror.internal/hub/"}]},
        {"registries": (AllowedRegistry("docker.io", "mirror.internal/hub"),)},
    ),
    (
        {"registries": [{"prefix": "r.io", "sign_in": ["Auth.example.org", "10.0.0.1"]}]},
        {"registries": (AllowedRegistry("r.io", None, ("auth.example.org", "10.0.0.1")),)},
    ),
    ({"registries": [{"prefix": "localhost"}]}, {"registries": (AllowedRegistry("localhost"),)}),
    (
        {"runners": ["podman", "apptainer"], "default_runner": "apptainer"},
        {"runners": ("podman", "apptainer"), "default_runner": "apptainer"},
    ),
    ({"cpus": {}}, {}),
    ({"cpus": {"default": 1, "maximum": 2.5}}, {"cpus": Limits(1, 2.5)}),
    ({"cpus": {"default": None, "maximum": "8"}}, {"cpus": Limits(None, 8)}),
    ({"memory": {}}, {}),
    ({"memory": {"maximum": "64GiB"}}, {"memory": Limits(4 * GIB, 64 * GIB)}),
    ({"memory": {"default": 2, "maximum": 8}}, {"memory": Limits(2 * GIB, 8 * GIB)}),
    ({"memory": {"default": None}}, {"memory": Limits()}),
    ({"limits": "required"}, {"limits": "required"}),
    ({"limits": "if_possible"}, {}),
    ({"network": {}}, {}),
    (
        {"network": {"default": "pasta", "allowed": ["none", "pasta"]}},
        {"network_default": "pasta", "networks": ("none", "pasta")},
    ),
    ({"network": {"default": "host"}}, {"network_default": "host", "networks": ("host",)}),
    (
        {"options": {"podman": {"allow": ["--annotation"], "deny": ["--user", "-e"]}}},
        {"options": {"podman": OptionChanges(("--annotation",), ("--user", "-e"))}},
    ),
    ({"options": {"podman": {}}}, {"options": {"podman": OptionChanges()}}),
    ({"mount_roots": ["~", "~/x", "/data"]}, {"mount_roots": ("~", "~/x", "/data")}),
    ({"mount_roots": []}, {"mount_roots": ()}),
    ({"safe_data": {}}, {}),
    (
        {"safe_data": {"root": "/data", "access": "ro", "group_prefixes": ["tre"]}},
        {"safe_data": SafeData("/data", "ro", ("tre",))},
    ),
    ({"home": "never"}, {"home": "never"}),
    ({"sif_dir": "/shared/sif"}, {"sif_dir": "/shared/sif"}),
    ({"sif_dir": None, "bundle_dir": None}, {}),
    ({"bundle_dir": "/shared/bundles"}, {"bundle_dir": "/shared/bundles"}),
    ({"sif_files": "any"}, {"sif_files": "any"}),
    ({"sif_compression": "gzip"}, {"sif_compression": "gzip"}),
    ({"image_size_limit": None}, {}),
    ({"image_size_limit": "10GiB"}, {"image_size_limit": 10 * GIB}),
    ({"image_keep_days": None}, {}),
    ({"image_keep_days": 60}, {"image_keep_days": 60}),
    ({"require_digest": True}, {"require_digest": True}),
    ({"audit": {}}, {}),
    ({"audit": {"syslog": False}}, {"audit_syslog": False}),
]

# what is wrong in each, and the key that the message must name
WRONG = [
    ({"registry": []}, "'registry'"),
    ({"Registries": []}, "'Registries'"),
    ({"registries": {}}, "'registries'"),
    ({"registries": "r.example.org"}, "'registries'"),
    ({"registries": ["r.example.org"]}, "'registries[0]'"),
    ({"registries": [{}]}, "'registries[0].prefix'"),
    ({"registries": [{"prefix": "r.io"}, {"prefix": None}]}, "'registries[1].prefix'"),
    ({"registries": [{"prefix": 5}]}, "'registries[0].prefix'"),
    ({"registries": [{"prefix": ""}]}, "'registries[0].prefix'"),
    ({"registries": [{"prefix": "short"}]}, "'registries[0].prefix'"),
    ({"registries": [{"prefix": "*"}]}, "'registries[0].prefix'"),
    ({"registries": [{"prefix": "*.example.org"}]}, "'registries[0].prefix'"),
    ({"registries": [{"prefix": "https://r.example.org"}]}, "'registries[0].prefix'"),
    ({"registries": [{"prefix": "R.example.org"}]}, "'registries[0].prefix'"),
    ({"registries": [{"prefix": "r.example.org/P"}]}, "'registries[0].prefix'"),
    ({"registries": [{"prefix": "r.example.org/p:1"}]}, "'registries[0].prefix'"),
    ({"registries": [{"prefix": f"r.example.org/p@{DIGEST}"}]}, "'registries[0].prefix'"),
    ({"registries": [{"prefix": "r.io", "rewrite": ""}]}, "'registries[0].rewrite'"),
    ({"registries": [{"prefix": "r.io", "rewrite": False}]}, "'registries[0].rewrite'"),
    ({"registries": [{"prefix": "r.io", "sign_in": "a.io"}]}, "'registries[0].sign_in'"),
    ({"registries": [{"prefix": "r.io", "sign_in": ["https://a.io"]}]}, "'registries[0].sign_in'"),
    ({"registries": [{"prefix": "r.io", "sign_in": ["a.io:443"]}]}, "'registries[0].sign_in'"),
    ({"registries": [{"prefix": "r.io", "sign_in": ["*.a.io"]}]}, "'registries[0].sign_in'"),
    ({"registries": [{"prefix": "r.io", "ca": "/x"}]}, "'registries[0].ca'"),
    ({"runners": "podman"}, "'runners'"),
    ({"runners": [1]}, "'runners'"),
    ({"runners": [""]}, "'runners'"),
    ({"runners": []}, "'default_runner'"),
    ({"default_runner": "apptainer"}, "'default_runner'"),
    ({"default_runner": None}, "'default_runner'"),
    ({"default_runner": ["podman"]}, "'default_runner'"),
    ({"cpus": 2}, "'cpus'"),
    ({"cpus": None}, "'cpus'"),
    ({"cpus": {"default": "many"}}, "'cpus.default'"),
    ({"cpus": {"default": True}}, "'cpus.default'"),
    ({"cpus": {"maximum": [2]}}, "'cpus.maximum'"),
    ({"cpus": {"max": 2}}, "'cpus.max'"),
    ({"memory": "4GiB"}, "'memory'"),
    ({"memory": {"default": "4X"}}, "'memory.default'"),
    ({"memory": {"maximum": float("inf")}}, "'memory.maximum'"),
    ({"memory": {"maximum": False}}, "'memory.maximum'"),
    ({"limits": "maybe"}, "'limits'"),
    ({"limits": True}, "'limits'"),
    ({"limits": None}, "'limits'"),
    ({"network": "none"}, "'network'"),
    ({"network": {"default": "lan"}}, "'network.default'"),
    ({"network": {"default": None}}, "'network.default'"),
    ({"network": {"allowed": ["lan"]}}, "'network.allowed'"),
    ({"network": {"allowed": "none"}}, "'network.allowed'"),
    ({"network": {"default": "host", "allowed": ["none"]}}, "'network'"),
    ({"network": {"mode": "none"}}, "'network.mode'"),
    ({"options": []}, "'options'"),
    ({"options": {"podman": ["--x"]}}, "'options.podman'"),
    ({"options": {"podman": {"allow": "--x"}}}, "'options.podman.allow'"),
    ({"options": {"podman": {"permit": []}}}, "'options.podman.permit'"),
    ({"options": {"podman": {"allow": ["privileged"]}}}, "'options.podman.allow'"),
    ({"options": {"podman": {"deny": ["--user=root"]}}}, "'options.podman.deny'"),
    ({"options": {"podman": {"deny": ["--user root"]}}}, "'options.podman.deny'"),
    ({"mount_roots": "/data"}, "'mount_roots'"),
    ({"mount_roots": ["data"]}, "'mount_roots'"),
    ({"mount_roots": ["~ada"]}, "'mount_roots'"),
    ({"mount_roots": [None]}, "'mount_roots'"),
    ({"safe_data": "/safe_data"}, "'safe_data'"),
    ({"safe_data": {"root": "data"}}, "'safe_data.root'"),
    ({"safe_data": {"root": None}}, "'safe_data.root'"),
    ({"safe_data": {"root": 5}}, "'safe_data.root'"),
    ({"safe_data": {"access": "RW"}}, "'safe_data.access'"),
    ({"safe_data": {"access": None}}, "'safe_data.access'"),
    ({"safe_data": {"group_prefixes": "tre"}}, "'safe_data.group_prefixes'"),
    ({"safe_data": {"readonly": True}}, "'safe_data.readonly'"),
    ({"home": True}, "'home'"),
    ({"sif_dir": "shared"}, "'sif_dir'"),
    ({"sif_dir": False}, "'sif_dir'"),
    ({"bundle_dir": "~/bundles"}, "'bundle_dir'"),
    ({"sif_files": "none"}, "'sif_files'"),
    ({"sif_compression": "xz"}, "'sif_compression'"),
    ({"image_keep_days": 0}, "'image_keep_days'"),
    ({"image_keep_days": True}, "'image_keep_days'"),
    ({"image_keep_days": "30"}, "'image_keep_days'"),
    ({"image_keep_days": 10**9}, "'image_keep_days'"),
    ({"image_size_limit": "big"}, "'image_size_limit'"),
    ({"image_size_limit": {}}, "'image_size_limit'"),
    ({"image_size_limit": True}, "'image_size_limit'"),
    ({"require_digest": "yes"}, "'require_digest'"),
    ({"require_digest": 1}, "'require_digest'"),
    ({"audit": True}, "'audit'"),
    ({"audit": {"syslog": "yes"}}, "'audit.syslog'"),
    ({"audit": {"file": "/x"}}, "'audit.file'"),
]


@pytest.mark.parametrize(("raw", "differences"), KEYS)
def test_every_key_is_read_and_what_is_not_written_has_its_default(
    raw: dict[str, Any], differences: dict[str, Any]
) -> None:
    # through JSON, as it comes from the file
    assert Policy.from_dict(json.loads(json.dumps(raw)), ORIGIN) == Policy(**differences)


@pytest.mark.parametrize(("raw", "key"), WRONG)
def test_what_is_wrong_is_an_error_that_names_the_file_and_the_key(
    raw: dict[str, Any], key: str
) -> None:
    with pytest.raises(CesError) as caught:
        Policy.from_dict(raw, "/x/policy.json")
    assert f"read {key} in /x/policy.json" in str(caught.value)


@pytest.mark.parametrize("raw", [None, [], "x", 5, True])
def test_what_is_no_object_is_an_error_that_names_the_file(
    raw: object,
) -> None:
    with pytest.raises(CesError, match=r"/x/policy\.json: it is not a JSON object"):
        Policy.from_dict(raw, "/x/policy.json")


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_KEYS = [
    *("registries", "runners", "default_runner", "cpus", "memory", "limits", "network", "options"),
    *("mount_roots", "safe_data", "image_size_limit", "require_digest", "audit", "unknown"),
]
_INNER = [
    *("prefix", "rewrite", "default", "maximum", "allowed", "podman", "allow", "deny"),
    *("root", "access", "group_prefixes", "syslog"),
]
likely = st.dictionaries(
    st.sampled_from(_KEYS),
    json_value
    | st.dictionaries(st.sampled_from(_INNER), json_value, max_size=2)
    | st.lists(st.dictionaries(st.sampled_from(_INNER), json_value, max_size=2), max_size=2),
    max_size=3,
)


@given(likely | json_value)
def test_no_json_at_all_makes_anything_but_a_policy_or_an_error_with_the_file(raw: object) -> None:
    try:
        policy = Policy.from_dict(raw, "/x/policy.json")
    except CesError as error:
        assert "/x/policy.json" in str(error)
        return
    assert policy.default_runner in policy.runners
    assert policy.network_default in policy.networks
    assert policy.safe_data.root.startswith("/")


# --- what it decides ---

SITE = Policy(
    registries=(
        AllowedRegistry("r.example.org/project", "mirror.internal/p"),
        AllowedRegistry("r.example.org"),
        AllowedRegistry("h.io:5000/a/b"),
    ),
    networks=("none", "pasta"),
    origin="/x/policy.json",
)


@pytest.mark.parametrize(
    ("image", "source"),
    [
        ("r.example.org/app:1", "r.example.org/app:1"),
        ("R.EXAMPLE.org/app:1", "r.example.org/app:1"),
        ("r.example.org/project/app:1", "mirror.internal/p/app:1"),
        (f"r.example.org/project/a/b@{DIGEST}", f"mirror.internal/p/a/b@{DIGEST}"),
        ("r.example.org/project:1", "mirror.internal/p:1"),
        ("r.example.org/projects/app:1", "r.example.org/projects/app:1"),
        ("h.io:5000/a/b/c", "h.io:5000/a/b/c:latest"),
    ],
)
def test_an_allowed_image_is_fetched_from_where_the_longest_prefix_says(
    image: str, source: str
) -> None:
    reference = ImageRef.parse(image)
    assert str(SITE.registry_for(reference).source(reference)) == source


@pytest.mark.parametrize(
    "image",
    [
        "r.example.org.evil.example/app",
        "r.example.org:5000/app",
        "evil.example/r.example.org/app",
        "xr.example.org/app",
        "h.io/a/b/c",
        "h.io:5000/a/bc",
        "h.io:5000/a",
        "h.io:50000/a/b",
        "docker.io/r.example.org/app",
    ],
)
def test_an_image_elsewhere_is_refused_with_the_allowed_registries_and_the_file(image: str) -> None:
    with pytest.raises(RefusedByPolicy) as caught:
        SITE.registry_for(ImageRef.parse(image))
    assert "r.example.org/project, r.example.org, h.io:5000/a/b" in str(caught.value)
    assert "/x/policy.json" in str(caught.value)


def test_without_a_policy_nothing_may_be_pulled() -> None:
    with pytest.raises(RefusedByPolicy, match="allowed: none"):
        Policy().registry_for(ImageRef.parse("docker.io/debian"))


def test_an_image_that_a_rewrite_leaves_without_a_name_is_refused() -> None:
    site = Policy(registries=(AllowedRegistry("r.example.org/app", "mirror.internal"),))
    image = ImageRef.parse("r.example.org/app:1")
    with pytest.raises(CesError, match=r"mirror\.internal"):
        site.registry_for(image).source(image)


def test_a_site_may_require_digests() -> None:
    site = Policy(registries=SITE.registries, require_digest=True)
    with pytest.raises(RefusedByPolicy, match=r"write r\.example\.org/app@sha256"):
        site.registry_for(ImageRef.parse("r.example.org/app:1"))
    pinned = ImageRef.parse(f"r.example.org/app@{DIGEST}")
    assert site.registry_for(pinned).prefix == "r.example.org"


def test_the_network_is_the_default_or_one_that_is_allowed() -> None:
    assert SITE.check_network(None) == "none"
    assert SITE.check_network("pasta") == "pasta"
    for mode in ("host", "", "container:x", "none,host"):
        with pytest.raises(RefusedByPolicy, match="this site allows: none, pasta"):
            SITE.check_network(mode)
