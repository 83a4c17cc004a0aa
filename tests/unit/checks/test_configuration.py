# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of files of containers' configuration; and how it is found."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from telling import POLICY, only, told

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.configuration import LOOKS
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.host.configuration import (
    Configuration,
    look_at_configuration,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image_acceptance import Acceptance
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import AllowedRegistry

GOOD = Configuration("ada", policy_file="/etc/containers/policy.json", runtime="crun")
ACCEPT, REJECT = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
SIGNED = [{"type": "signedBy"}]


def test_good_files_are_well() -> None:
    assert told(LOOKS, GOOD) == []
    assert told(LOOKS, replace(GOOD, runtime="/usr/bin/crun")) == []


@pytest.mark.parametrize(
    ("changes", "check", "level", "part"),
    [
        ({"own_storage": "/home/ada/s.conf"}, "own_storage_conf", "warning", "/home/ada/s.conf"),
        ({"contradictions": ("db.sql records x",)}, "databases", "fault", "db.sql records x"),
        ({"left": "/home/ada/old"}, "old_storage", "note", "rm -rf /home/ada/old"),
        ({"own_registries": "/home/ada/r.conf"}, "own_registries_conf", "warning", "r.conf"),
        ({"search": ("r.example.org",)}, "short_names", "warning", "r.example.org"),
        ({"misread": ("r.conf cannot be read (x)",)}, "registries_conf", "fault", "(x): podman"),
        ({"policy_file": ""}, "policy_json", "fault", "there is no"),
        ({"policy_error": "it is no JSON"}, "policy_json", "fault", "it is no JSON"),
        ({"own_policy": True}, "policy_json", "warning", "in place of the site's"),
        ({"rejected": ("r.example.org",)}, "accepted_registries", "fault", "rejects it"),
        ({"signed": ("r.example.org",)}, "accepted_registries", "note", "signature"),
        ({"broken": ('x sets containers.pidns = "host"',)}, "containers_conf", "warning", "pidns"),
        ({"runtime": "/usr/bin/runc"}, "runtime", "warning", "runc"),
        ({"open_files": ("/home/ada/auth.json",)}, "credentials", "warning", "chmod 600"),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, Any], check: str, level: str, part: str) -> None:
    only(LOOKS, replace(GOOD, **changes), check, level, part)


def test_apptainer_reads_no_policy_json() -> None:
    policy = replace(POLICY, runners=("apptainer",))
    assert told(LOOKS, replace(GOOD, policy_file="", rejected=("r.example.org",)), policy) == []


@pytest.mark.parametrize(
    ("place", "answer"),
    [
        ("r.example.org/open/x", "accept"),
        ("r.example.org/shut", "reject"),
        ("r.example.org/shut/deep", "reject"),
        ("signed.example.org:5000", "signed"),
        ("a.wild.example.org", "reject"),
        ("else.test", "reject"),
    ],
)
def test_the_narrowest_scope_counts(place: str, answer: str) -> None:
    scopes = {
        "r.example.org": ACCEPT,
        "r.example.org/shut": REJECT,
        "signed.example.org:5000": SIGNED,
        "*.wild.example.org": REJECT,
    }
    raw = {"default": REJECT, "transports": {"docker": scopes}}
    assert Acceptance.from_dict(raw, "policy.json").of(place) == answer


def test_the_whole_transport_comes_before_the_default() -> None:
    raw = {"default": REJECT, "transports": {"docker": {"": ACCEPT}}}
    assert Acceptance.from_dict(raw, "policy.json").of("r.example.org") == "accept"


@pytest.mark.parametrize("raw", [[], {}, {"default": []}, {"default": [{}]}, {"default": 3}])
def test_what_engines_would_not_take_is_refused(raw: dict[str, Any] | list[str]) -> None:
    with pytest.raises(CesError, match="not of the form"):
        Acceptance.from_dict(raw, "policy.json")


def write(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)


def test_facts_are_read_from_the_files(tmp_path: Path) -> None:
    home, etc = tmp_path / "home", tmp_path / "etc/containers"
    write(etc / "storage.conf", '[storage]\nrootless_storage_path = "/srv/$UID"\n')
    write(etc / "policy.json", json.dumps({"default": REJECT}))
    write(etc / "containers.conf", '[engine]\nruntime = "runc"\n[containers]\npidns = "host"\n')
    write(etc / "registries.conf", 'unqualified-search-registries = ["docker.io"]\n')
    write(home / ".config/containers/auth.json", '{"auths":{"r.example.org":{"auth":"x"}}}')
    write(home / ".docker/config.json", '{"auths":{"r.example.org":{"auth":"x"}}}', 0o600)
    write(home / ".local/share/containers/storage/x", "")
    account = Account("ada", os.geteuid() or 7, str(home), (), {"PATH": "/usr/bin"})
    entry = AllowedRegistry("r.example.org", rewrite="mirror.example.org")
    policy = replace(POLICY, registries=(entry,))
    found = look_at_configuration(account, policy, str(tmp_path))
    assert found.policy_file == f"{etc}/policy.json"
    assert not found.own_policy
    assert found.rejected == ("r.example.org", "mirror.example.org")
    assert found.runtime == "runc"
    assert len(found.broken) == 1
    assert found.search == ("docker.io",)
    assert found.open_files == (f"{home}/.config/containers/auth.json",)
    assert found.left == f"{home}/.local/share/containers/storage"
    assert found.own_storage == ""

    write(home / ".config/containers/storage.conf", "[storage]\n")
    write(home / ".config/containers/policy.json", "{")
    write(home / ".config/containers/registries.conf", "")
    write(etc / "registries.conf.d/90.conf", "[[broken = ")
    found = look_at_configuration(account, policy, str(tmp_path))
    assert found.own_storage == f"{home}/.config/containers/storage.conf"
    assert found.own_registries == f"{home}/.config/containers/registries.conf"
    assert found.own_policy
    assert found.policy_error
    if sys.version_info >= (3, 11):
        assert f"{etc}/registries.conf.d/90.conf cannot be read" in found.misread[0]
    assert found.search == ()
