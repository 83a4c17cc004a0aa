# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role's variables and templates come to, by Ansible itself and without a host."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def _load_plugins() -> None:
    init_plugin_loader([str(ROOT / "build" / "collections")])
    # Python's own import has loaded the collection, without what Ansible's import notes of it
    collection = importlib.import_module("ansible_collections.tre.ces")
    collection.__dict__.setdefault("_collection_meta", {})
    # pytest-xdist names the same directory twice, and Ansible's import takes one
    plugins = importlib.import_module("ansible_collections.tre.ces.plugins")
    plugins.__path__ = list(dict.fromkeys(plugins.__path__))
    filters = importlib.import_module("ansible_collections.tre.ces.plugins.filter")
    filters.__file__ = str(ROOT / "plugins" / "filter" / "__init__.py")


def role_values(name: str, **given: Any) -> Templar:
    """A templar with the variables of a role, those of the role's defaults as they are given."""
    _load_plugins()
    loader, role = DataLoader(), ROOT / "roles" / name
    variables: dict[str, Any] = {"inventory_hostname": "backend1", "ansible_check_mode": False}
    variables["ansible_search_path"] = [str(role)]
    variables["playbook_dir"] = str(ROOT)
    for part in ("defaults", "vars"):
        path = role / part / "main.yml"
        if path.exists():
            variables.update(loader.load_from_file(str(path), trusted_as_template=True) or {})
        if part == "defaults":
            variables.update({key: _trusted(value) for key, value in given.items()})
    return Templar(loader=loader, variables=variables)


def evaluate(values: Templar, expression: str) -> Any:
    """What an expression comes to."""
    return values.template(trust_as_template(f"{{{{ {expression} }}}}"))


def render(name: str, template: str, **given: Any) -> str:
    """A template of a role."""
    return str(evaluate(role_values(name, **given), f"lookup('template', '{template}')"))


def _trusted(value: Any) -> Any:
    return trust_as_template(value) if isinstance(value, str) else value
