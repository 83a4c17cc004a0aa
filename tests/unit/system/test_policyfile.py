# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy file as a file, the audit line, and the head of image files."""

from __future__ import annotations

import json
import os
import syslog
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError, NotFound
from ansible_collections.tre.ces.plugins.module_utils.ces.system.audit import audit
from ansible_collections.tre.ces.plugins.module_utils.ces.system.policyfile import (
    POLICY_FILE,
    load_policy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.sif import (
    check_architecture,
    sif_architecture,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import Policy


def test_the_policy_is_where_users_cannot_choose_it() -> None:
    assert POLICY_FILE == "/etc/ces/policy.json"


def test_a_missing_file_is_the_built_in_policy(tmp_path: Path) -> None:
    path = f"{tmp_path}/policy.json"
    assert load_policy(path) == Policy(origin=path)


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text('{"limits": "required"}')
    assert load_policy(f"{tmp_path}/policy.json").limits == "required"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"limit": 1}', '{"limits": "x"}', "\ufeff{", "{}x"]
)
def test_a_broken_file_is_an_error_that_names_it_and_never_the_built_in_policy(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(CesError) as caught:
        load_policy(str(path))
    assert str(path) in str(caught.value)
    assert not isinstance(caught.value, NotFound)


def test_a_policy_that_cannot_be_read_is_an_error_and_no_missing_one(tmp_path: Path) -> None:
    with pytest.raises(CesError) as caught:
        load_policy(str(tmp_path))
    assert not isinstance(caught.value, NotFound)


# --- audit ---


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What goes to the system's log."""
    written = []
    monkeypatch.setattr(syslog, "openlog", lambda *words: written.append(words))
    monkeypatch.setattr(syslog, "syslog", lambda _level, text: written.append(text))
    return written


def test_an_event_is_one_line_whatever_the_facts_hold(lines: list[Any]) -> None:
    audit(Policy(), "run", image="a\nb", user="\u20ac", rc=None)
    (name, _pid, _facility), line = lines
    assert name == "tre-ces"
    assert line.isprintable() and line.startswith("run {")
    assert json.loads(line[4:]) == {"image": "a\nb", "user": "\u20ac", "rc": None}


def test_a_site_may_do_without_the_audit(lines: list[Any]) -> None:
    audit(Policy(audit_syslog=False), "run", image="a")
    assert lines == []


# --- image files ---


def _sif(architecture: bytes) -> bytes:
    return b"#!/usr/bin/env run-singularity\n\0" + b"SIF_MAGIC\0" + b"01\0" + architecture + b"\0"


@pytest.mark.parametrize(
    ("architecture", "name"), [(b"02", "amd64"), (b"04", "arm64"), (b"00", ""), (b"99", "")]
)
def test_an_image_file_says_which_processor_it_is_for(
    tmp_path: Path, architecture: bytes, name: str
) -> None:
    (tmp_path / "a.sif").write_bytes(_sif(architecture) + b"rest" * 100)
    assert sif_architecture(f"{tmp_path}/a.sif") == name


@pytest.mark.parametrize("raw", [b"", b"SIF_MAGIC\0", b"\x7fELF" * 100, _sif(b"02")[1:]])
def test_another_file_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.sif").write_bytes(raw)
    with pytest.raises(CesError, match="it is no SIF file"):
        sif_architecture(f"{tmp_path}/a.sif")


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        sif_architecture(f"{tmp_path}/a.sif")


def test_an_image_for_another_processor_is_refused() -> None:
    here = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    check_architecture("/a.sif", here)
    check_architecture("/a.sif", "")
    with pytest.raises(CesError, match=f"it is for sparc, and this host is {here}"):
        check_architecture("/a.sif", "sparc")
