# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's settings for a back-end with homes of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ces.dataclass import fields
from ces.errors import CesError
from ces_remote import site
from ces_remote.site import Site

ROOT = Path(__file__).resolve().parents[3]


def written(directory: Path, **settings: Any) -> Site:
    (directory / "island.json").write_text(json.dumps({"cluster": "island", **settings}))
    return site.read_site("island", str(directory))


def test_settings_are_read(tmp_path: Path) -> None:
    found = written(tmp_path, host="login", outputs_limit=0, one_shot=["a", "b"], remove=True)
    assert (found.host, found.outputs_limit, found.one_shot, found.remove) == (
        "login",
        0,
        ("a", "b"),
        True,
    )
    assert site.clusters(str(tmp_path)) == ["island"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "host is missing"),
        ({"host": "h", "prot": 22}, "prot"),
        ({"host": "h", "port": "22"}, "a whole number"),
        ({"host": "h", "port": True}, "a whole number"),
        ({"host": "h", "one_shot": "token"}, "a list"),
        ({"host": "h", "one_shot": ["../x"]}, "no name in a job's directory"),
        ({"host": "h", "record": ".."}, "no name in a job's directory"),
        ({"host": "-oProxyCommand=x"}, "no name of a host"),
        ({"host": "a b"}, "no name of a host"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(CesError, match=re.escape(said)):
        written(tmp_path, **settings)


def test_a_cluster_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(CesError, match="known are: none"):
        site.read_site("island", str(tmp_path))
    with pytest.raises(CesError):
        site.read_site("../etc", str(tmp_path))


def test_the_role_documents_what_the_program_knows() -> None:
    specs = yaml.safe_load((ROOT / "roles/ood_apps/meta/argument_specs.yml").read_text())
    clusters = specs["argument_specs"]["main"]["options"]["ood_apps_clusters"]["options"]
    documented = clusters["remote"]["options"]
    plain = site.Site("c", "h")
    known = {item.name for item in fields(site.Site)} - {"cluster", "known_hosts"}
    assert set(documented) == known
    for name, option in documented.items():
        if name != "host":
            default = getattr(plain, name)
            assert option["default"] == (list(default) if isinstance(default, tuple) else default)
