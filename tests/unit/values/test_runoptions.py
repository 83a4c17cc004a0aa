# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a run's options, and all that is made from it: what is new in one is in all."""

from __future__ import annotations

import json
from types import ModuleType

import pytest
import yaml
from ces_commands.verbs import VERBS

from ansible_collections.tre.ces.plugins.doc_fragments import container
from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import fields
from ansible_collections.tre.ces.plugins.module_utils.ces.values import job, policy, spec
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.runoptions import (
    OPTIONS,
    arguments,
    options_for,
)
from ansible_collections.tre.ces.plugins.modules import ces_run, oci_bundle

IMAGE = ImageRef.parse("registry.example.org/app:1")
APART = {"runner", "credentials", "directories"}
"""Fields of a run that are no option of this table; directories' own are."""
OTHER = {
    "args": ["a"],
    "env": {"A": "1"},
    "options": ["--read-only"],
    "cpus": 2.5,
    "memory": "3GiB",
    "gpu": True,
    "gpus": 2,
    "home": True,
    "name": "other",
    "network": "host",
    "timeout": "5m",
    "pull": "never",
    "record_link": "/home/alice/link",
    "directories.project": "p",
    "directories.read_only": True,
    "directories.safe_data": "/safe_data/p",
    "directories.outputs": "/o",
    "directories.scratch": "/s",
}
"""A value for each option that is not its default."""
DOCUMENTED = yaml.safe_load(container.ModuleDocFragment.DOCUMENTATION)["options"]


def test_every_field_of_a_run_is_an_option_and_no_other_is() -> None:
    run = {item.name for item in fields(spec.RunSpec)} - APART
    run |= {f"directories.{item.name}" for item in fields(spec.Directories)}
    named = [option.field for option in OPTIONS if option.field]
    assert sorted(named) == sorted(run)
    assert set(OTHER) == run - {"image"}


def test_a_run_is_made_by_the_fields_of_its_options() -> None:
    made = spec.RunSpec.of({"image": IMAGE, "runner": "podman", **OTHER})
    for name, value in OTHER.items():
        owner = made.directories if name.startswith("directories.") else made
        assert getattr(owner, name.rpartition(".")[2]) == value
    plain = spec.RunSpec(IMAGE, "podman")
    assert spec.RunSpec.of({"image": IMAGE, "runner": "podman", "pull": None}) == plain


def test_every_option_travels_to_a_job() -> None:
    made = spec.RunSpec.of({"image": IMAGE, "runner": "podman", **OTHER})
    arrived = job.read(json.loads(json.dumps(job.written(made))), "job.json")
    assert arrived == made


@pytest.mark.parametrize(("verb", "bundle"), [("run", False), ("gpu-run", False), ("bundle", True)])
def test_commands_have_every_option_that_can_be_typed(verb: str, bundle: bool) -> None:
    typed = {tuple(option.names) for option in VERBS[verb].options}
    for option in options_for(bundle):
        assert not option.names or tuple(option.names.split()) in typed
        assert bool(option.names) == bool(option.help)


@pytest.mark.parametrize(("module", "bundle"), [(ces_run, False), (oci_bundle, True)])
def test_modules_document_every_option_as_it_is(module: ModuleType, bundle: bool) -> None:
    documented = {**DOCUMENTED, **yaml.safe_load(module.DOCUMENTATION)["options"]}
    for name, argument in arguments(bundle).items():
        said = {key: documented[name].get(key) for key in argument}
        assert said == argument, name


def test_choices_are_those_of_the_core() -> None:
    choices = {name: argument.get("choices") for name, argument in arguments().items()}
    assert choices["network"] == list(policy.NETWORKS)
    assert choices["pull"] == list(spec.PULL_MODES)
