# SPDX-License-Identifier: GPL-3.0-or-later
"""What bites silently in forms: names, directives, patterns, modes."""

from __future__ import annotations

import html
import json
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ood_support import APPS, FILES, LARGE, ROOT, SMALL, Portal
from py_mini_racer import JSEvalException, MiniRacer
from support import there

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.table import known_runners
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import CesError
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.policy import Policy

# what the portal's own objects take it for
NAMES = """
display method partition format count first group_by send class each filter find hash max min
select sort sum table then zip label help widget value id title
"""
RESERVED = set(NAMES.split())
DIRECTIVE = re.compile(
    r"data-(max|min|hide|set|option-for|exclusive-option-for|label|help|most)-(.+)"
)


def options_of(attribute: dict[str, Any]) -> list[dict[str, Any]]:
    """The directives of each option of a select."""
    return [
        {key: value for part in option if isinstance(part, dict) for key, value in part.items()}
        for option in attribute.get("options", [])
    ]


def target_of(kind: str, rest: str, names: list[str]) -> str:
    """The field that a directive is about: the longest name that it begins with."""
    found = [name for name in names if f"{rest}-".startswith(f"{name.replace('_', '-')}-")]
    assert found, f"data-{kind}-{rest} is about no field"
    return max(found, key=len)


def directives(form: dict[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    """(cause, kind, target, value) of each directive of each option."""
    names = form["form"]
    for cause in names:
        for option in options_of(form["attributes"].get(cause, {})):
            for key, value in option.items():
                kind, rest = there(DIRECTIVE.fullmatch(key)).groups()
                yield cause, kind, target_of(kind, rest, names), value


@pytest.mark.parametrize("app", APPS)
def test_an_app_has_all_its_files_and_the_shared_ones(installed_apps: Path, app: str) -> None:
    root = installed_apps / app
    for name in (
        *("manifest.yml", "form.yml.erb", "submit.yml.erb", "fields.yml", "VERSION"),
        *("view.html.erb", "completed.html.erb", "shared/all.rb", "template/ces/steps.sh"),
        *("template/before.sh.erb", "template/script.sh.erb", "template/after.sh.erb"),
    ):
        assert (root / name).is_file(), name
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", (root / "VERSION").read_text())


@pytest.mark.parametrize("app", APPS)
def test_what_is_run_is_executable_and_nothing_else(installed_apps: Path, app: str) -> None:
    for file in (installed_apps / app).rglob("*"):
        if file.is_file():
            runs = file.read_bytes().startswith(b"#!")
            assert file.stat().st_mode & 0o7777 == (0o755 if runs else 0o644), file
    assert (
        (installed_apps / app / "template/script.sh.erb")
        .read_bytes()
        .startswith(b"#!/usr/bin/env bash\n")
    )


@pytest.mark.parametrize("app", APPS)
def test_no_field_has_a_name_that_means_something_else(forms: dict[str, Any], app: str) -> None:
    ruby = (
        'require "ostruct"; require "json"; class B; include Enumerable; end;'
        "puts JSON.generate((OpenStruct.new.methods + B.new.methods + [].methods + {}.methods"
        " + Object.private_instance_methods).uniq)"
    )
    methods = json.loads(
        subprocess.run(["ruby", "-e", ruby], capture_output=True, check=True).stdout
    )
    for name in forms[app]["form"]:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert name not in RESERVED | set(methods), f"{name} is a method"


@pytest.mark.parametrize("app", APPS)
def test_fields_are_known_to_the_server(forms: dict[str, Any], app: str) -> None:
    form = forms[app]
    assert form["form"][0] == "cluster"
    assert set(form["attributes"]) >= set(form["form"])


@pytest.mark.parametrize("app", APPS)
def test_every_field_says_what_it_is(forms: dict[str, Any], app: str) -> None:
    for name in forms[app]["form"]:
        attribute = forms[app]["attributes"][name]
        assert attribute["label"]
        assert attribute["help"].strip().endswith((".", "?")), name


def test_the_page_for_researchers_has_every_field(forms: dict[str, Any]) -> None:
    rows = re.findall(r"^\| (.+?) \|", (ROOT / "docs/web-form.md").read_text(), re.M)
    documented = {name.strip() for row in rows for name in row.split(",")}
    form = forms["batch_container_app"]
    labels = {form["attributes"][name]["label"].split(", up to ")[0] for name in form["form"]}
    assert labels <= documented


@pytest.mark.parametrize("app", APPS)
def test_all_options_of_a_select_have_the_same_directives(forms: dict[str, Any], app: str) -> None:
    for name, attribute in forms[app]["attributes"].items():
        keys = {frozenset(option) for option in options_of(attribute)}
        assert len(keys) <= 1, name


@pytest.mark.parametrize("app", APPS)
def test_a_browser_does_not_look_at_what_can_be_hidden(forms: dict[str, Any], app: str) -> None:
    """It would refuse the form for a field that nobody sees."""
    hidden = [target for _cause, kind, target, _value in directives(forms[app]) if kind == "hide"]
    for target in hidden:
        assert not {"required", "max", "pattern"} & forms[app]["attributes"][target].keys()


@pytest.mark.parametrize("app", APPS)
def test_no_directive_changes_what_was_typed(forms: dict[str, Any], app: str) -> None:
    """A portal applies them to a form that comes back, before anybody chooses anything."""
    kinds = {kind for _cause, kind, _target, _value in directives(forms[app])}
    assert kinds <= {"hide", "label", "most", "option-for"}


@pytest.mark.parametrize("app", APPS)
def test_no_fields_wait_for_each_other(forms: dict[str, Any], app: str) -> None:
    edges: dict[str, set[str]] = {}
    for cause, kind, target, _value in directives(forms[app]):
        # an option for a cluster: the cluster is the cause
        source, result = (target, cause) if "option-for" in kind else (cause, target)
        edges.setdefault(source, set()).add(result)
    for start in edges:
        seen, todo = set(), [start]
        while todo:
            for following in edges.get(todo.pop(), ()):
                assert following != start, f"{start} waits for itself"
                if following not in seen:
                    seen.add(following)
                    todo.append(following)


@pytest.fixture(scope="module")
def browser() -> MiniRacer:
    """The JavaScript of a browser: V8, as Chromium has it."""
    engine = MiniRacer()
    engine.eval('read = pattern => new RegExp("^(?:" + pattern + ")$", "v")')
    return engine


@pytest.mark.parametrize("app", APPS)
def test_a_browser_reads_the_patterns(browser: MiniRacer, forms: dict[str, Any], app: str) -> None:
    patterns = [a["pattern"] for a in forms[app]["attributes"].values() if "pattern" in a]
    for pattern in patterns:
        browser.call("read", pattern)


def test_a_pattern_that_only_older_browsers_read_would_be_found(browser: MiniRacer) -> None:
    with pytest.raises(JSEvalException, match="Invalid regular expression"):
        browser.call("read", "[a-z0-9./:-]+")


IMAGES = {
    "registry.example.org/project/image:tag": True,
    "registry.tre.test:5000/tre/hello-tre:1.0": True,
    "localhost/a/b": True,
    "localhost:5000/a": True,
    "r.example.org/a/b@sha256:" + "0" * 64: True,
    "r.example.org/a/b:1@sha256:" + "0" * 64: True,
    "alpine": False,
    "library/alpine": False,
    "docker://r.example.org/a": False,
    "r.example.org/A": False,
    "r.example.org/a b": False,
    "r.example.org/a:": False,
    "r.example.org/a@sha256:00": False,
    "-r.example.org/a;id": False,
    "r.io/a..b": False,
    "r.io/a__b": True,
    "r.io/a___b": False,
    "r.io/a---b": True,
    "r-.io/a": False,
    "r.io/a@sha512:" + "0" * 128: True,
    "r.io/a@sha512:" + "0" * 64: False,
    "[2001:db8::1]:5000/a:1": True,
    "[2001:db8::1]/a": True,
    "[2001:db8::g]/a": False,
    "R.io/a": True,
    "r.io/" + "a" * 250: True,
    "r.io/" + "a" * 251: False,
    "r.io/" + "a" * 250 + ":" + "t" * 128 + "@sha512:" + "0" * 128: True,
    "r.io/a:" + "t" * 129: False,
    "": True,
}


def test_browser_and_server_agree_about_images(
    browser: MiniRacer, forms: dict[str, Any], portal: Portal
) -> None:
    pattern = forms["batch_container_app"]["attributes"]["image"]["pattern"]
    browser.eval("matches = (pattern, text) => read(pattern).test(text)")
    # a browser looks at what is there; "required" is another matter
    said = {image: image == "" or browser.call("matches", pattern, image) for image in IMAGES}
    assert said == IMAGES
    named = [image for image in IMAGES if image]
    answers = portal.ask(
        *(
            {"check": "batch_container_app", "values": {"cluster": "large", "image": image}}
            for image in named
        )
    )
    assert {image: "error" not in answer for image, answer in zip(named, answers)} == {
        image: IMAGES[image] for image in named
    }


def is_image(text: str) -> bool:
    try:
        ImageRef.parse(text)
    except CesError:
        return False
    return True


def test_forms_and_commands_have_one_grammar_of_images(
    browser: MiniRacer, forms: dict[str, Any]
) -> None:
    """Names by hand, and names in which something was changed by chance."""
    pattern = forms["batch_container_app"]["attributes"]["image"]["pattern"]
    browser.eval("matches = (pattern, text) => read(pattern).test(text)")
    chance = random.Random(14)  # noqa: S311  the same names each time
    parts = [*"aA0z.:/@-_[] ", "..", "__", ":5000", "@sha256:" + "a" * 64, "/b-c", "localhost"]
    named = [image for image in IMAGES if image]
    for image in list(named):
        for _turn in range(40):
            at = chance.randrange(len(image) + 1)
            cut = at + chance.choice((0, 0, 1, 2))
            named.append(image[:at] + chance.choice(parts) + image[cut:])
    accepted = {image: browser.call("matches", pattern, image) for image in named}
    assert accepted == {image: is_image(image) for image in named}
    assert len(accepted) > 900 and 100 < sum(accepted.values()) < len(accepted) - 100


def test_limits_and_fields_change_with_the_cluster(forms: dict[str, Any]) -> None:
    cluster = forms["batch_container_app"]["attributes"]["cluster"]
    assert [option[:2] for option in cluster["options"]] == [["Large", "large"], ["Small", "small"]]
    large, small = options_of(cluster)
    assert (large["data-label-cores"], small["data-label-cores"]) == (
        "Cores, up to 8",
        "Cores, up to 2",
    )
    assert (large["data-label-memory"], small["data-label-memory"]) == (
        "Memory (GiB), up to 16",
        "Memory (GiB), up to 4",
    )
    assert (large["data-most-gpus"], large["data-hide-gpus"], small["data-hide-gpus"]) == (
        2,
        False,
        True,
    )
    # what the largest allows, so that no portal takes it for a limit at which the value stood
    assert forms["batch_container_app"]["attributes"]["cores"]["max"] == 8
    runner = forms["batch_container_app"]["attributes"]["runner"]
    podman, apptainer = options_of(runner)
    assert podman["data-hide-reuse-sif"] and not apptainer["data-hide-reuse-sif"]
    assert (
        apptainer["data-option-for-cluster-large"]
        and not apptainer["data-option-for-cluster-small"]
    )


def test_the_maximum_is_the_largest_clusters_wherever_it_stands(portal: Portal) -> None:
    portal.has_cluster("larger", {**LARGE, "max_cores": 64, "order": 9})
    cores = portal.form("batch_container_app")["attributes"]["cores"]
    assert (cores["label"], cores["max"]) == ("Cores, up to 8", 64)
    # no cluster hides the field any more
    (portal.place / "clusters.d/small.yml").unlink()
    assert portal.form("batch_container_app")["attributes"]["gpus"]["max"] == 2


def test_a_form_says_how_long_a_job_may_be(portal: Portal) -> None:
    said = portal.form("batch_container_app")["form_header"]
    assert said == "A job may run for 6 h. Then it is ended."
    portal.has_cluster("small", {**SMALL, "wall_time": 0.5}, title="Small *jobs*")
    said = html.unescape(portal.form("jupyter_app")["form_header"])
    assert said == "A job may run for 6 h on Large, 30 min on Small *jobs*. Then it is ended."


def test_a_form_says_who_one_is_under_each_runner(portal: Portal) -> None:
    attributes = portal.form("batch_container_app")["attributes"]
    assert attributes["runner"]["help"] == (
        "What runs the container. With podman you are root inside, which is yourself outside;"
        " with apptainer you are yourself inside too."
    )
    assert attributes["engine_args"]["help"].startswith("Options for podman or apptainer, as")
    (portal.place / "clusters.d/large.yml").unlink()
    said = portal.form("batch_container_app")["attributes"]["runner"]["help"]
    assert said.endswith("With podman you are root inside, which is yourself outside.")


def test_the_role_takes_the_runners_that_forms_offer() -> None:
    specs = yaml.safe_load((ROOT / "roles/ood_apps/meta/argument_specs.yml").read_text())
    clusters = specs["argument_specs"]["main"]["options"]["ood_apps_clusters"]["options"]
    offered = [name for name, one in known_runners().items() if one.traits().form]
    assert clusters["runners"]["choices"] == offered
    assert clusters["runners"]["default"] == list(Policy().runners)


def test_the_example_of_an_option_is_one_that_all_runners_have(forms: dict[str, Any]) -> None:
    word, value = forms["batch_container_app"]["attributes"]["engine_args"]["placeholder"].split()
    assert value == "type=bind,source=${HOME}/my_models,target=/models,readonly"
    for name, runner in known_runners().items():
        assert any(word == option.name for option in runner.options), name


def test_one_cluster_is_no_choice_and_what_it_lacks_is_no_field(portal: Portal) -> None:
    (portal.place / "clusters.d/large.yml").unlink()
    form = portal.form("batch_container_app")
    attributes = form["attributes"]
    assert (attributes["cluster"]["widget"], attributes["cluster"]["value"]) == (
        "hidden_field",
        "small",
    )
    assert attributes["runner"]["widget"] == "hidden_field"
    assert {"gpus", "reuse_sif"}.isdisjoint(form["form"])
    assert (
        attributes["cores"]["max"],
        attributes["memory"]["max"],
        attributes["memory"]["value"],
    ) == (2, 4, 4)


def test_without_a_cluster_the_portal_can_say_so(portal: Portal) -> None:
    for file in (portal.place / "clusters.d").iterdir():
        file.unlink()
    form = portal.form("batch_container_app")
    assert form["cluster"] == ["no-cluster-offers-this-app"]


def test_a_cluster_is_offered_by_the_apps_that_it_names(portal: Portal) -> None:
    portal.has_cluster("other", {**SMALL, "apps": ["greetings_app"]})
    assert "other" not in portal.form("batch_container_app")["cluster"]
    assert "other" in portal.form("greetings_app")["cluster"]


@pytest.mark.parametrize("app", APPS)
def test_fields_are_in_the_order_of_their_list(forms: dict[str, Any], app: str) -> None:
    listed = re.findall(r"^- (\w+)$", (FILES / "apps" / app / "fields.yml").read_text(), re.M)
    assert forms[app]["form"] == listed
