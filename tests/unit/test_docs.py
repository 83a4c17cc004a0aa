# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation says what the code does, where a program can tell."""

from __future__ import annotations

import ast
import functools
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from ces_commands.verbs import VERBS

from ansible_collections.tre.ces.plugins.module_utils.ces.checks import image, image_files
from ansible_collections.tre.ces.plugins.module_utils.ces.engines import table
from ansible_collections.tre.ces.plugins.module_utils.ces.values import policy

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("roles/*/README.md"),
        *ROOT.glob("images/*/README.md"),
    ]
)
POLICY = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
RESEARCHER = (ROOT / "docs" / "researcher.md").read_text(encoding="utf-8")
WEB_FORM = (ROOT / "docs" / "web-form.md").read_text(encoding="utf-8")
ADMINISTRATOR = (ROOT / "docs" / "administrator.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROMISES = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of a language in a page."""
    fence = rf"^ *```{language}\n(.*?)^ *```$"
    found = re.findall(fence, page.read_text(encoding="utf-8"), re.M | re.S)
    return [textwrap.dedent(text) for text in found]


def first_cells(text: str) -> list[str]:
    """The first cell of each row of the tables in a text."""
    return re.findall(r"^\| (`[^|]*?) \|", text, re.M)


def anchors(page: Path) -> set[str]:
    """The names that links can use for a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _hash, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), f"{target}: there is no {other}"
        assert not anchor or anchor in anchors(other), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_can_be_read(page: Path) -> None:
    for text in blocks(page, "yaml"):
        assert yaml.safe_load(text)
    for text in blocks(page, "json"):
        assert json.loads(text)


def test_each_example_of_a_policy_is_a_policy() -> None:
    examples = blocks(ROOT / "docs" / "policy.md", "json")
    assert examples
    for example in examples:
        policy.Policy.from_dict(json.loads(example), "docs/policy.md")


def test_the_page_of_the_policy_has_every_key_and_no_other() -> None:
    keys = POLICY.split("## Keys")[1].split("## ")[0]
    documented = {cell.strip("`") for cell in first_cells(keys)}
    top = {re.split(r"[.\[]", name)[0] for name in documented}
    assert top == set(policy._READERS)
    assert documented == {
        *("registries", "registries[].prefix", "registries[].rewrite", "registries[].sign_in"),
        *("runners", "default_runner"),
        *("cpus.default", "cpus.maximum", "memory.default", "memory.maximum", "limits"),
        *("network.default", "network.allowed", "options.RUNNER.allow", "options.RUNNER.deny"),
        *("mount_roots", "home", "safe_data.root", "safe_data.access", "safe_data.group_prefixes"),
        *(
            "sif_dir",
            "bundle_dir",
            "sif_files",
            "sif_compression",
            "image_size_limit",
            "image_keep_days",
            "require_digest",
            "audit.syslog",
        ),
    }


def test_the_page_of_the_policy_has_the_defaults() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| `([^`]+)` \|", POLICY, re.M)
    nested: dict[str, Any] = {}
    for name, default in rows:
        if "RUNNER" in name:
            continue
        *parents, key = name.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[key] = json.loads(default)
    written = policy.Policy.from_dict(nested, "defaults")
    assert written == policy.Policy.from_dict({}, "defaults")


@pytest.mark.parametrize("runner", table.NAMES)
def test_the_page_of_the_policy_has_every_option_of_each_engine(runner: str) -> None:
    section = POLICY.split(f"### {runner}\n")[1].split("\n### ")[0]
    documented = set(re.findall(r"`(--?[a-zA-Z-]+)`", " ".join(first_cells(section))))
    options = table.runner_named(runner).options
    assert documented == {name for item in options for name in (item.name, item.short) if name}


def documentation(module: Path) -> dict[str, Any]:
    """What a module's DOCUMENTATION says."""
    (text,) = [
        ast.literal_eval(node.value)
        for node in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION"
    ]
    return dict(yaml.safe_load(text))


def test_the_documentation_of_modules_has_every_engine() -> None:
    found = {path.stem: documentation(path) for path in ROOT.glob("plugins/modules/*.py")}
    options = {name: said.get("options", {}).get("runner") for name, said in found.items()}
    having = {name: option["choices"] for name, option in options.items() if option}
    assert {"ces_check", "ces_image_info", "ces_pull", "ces_run", "ces_run_info"} <= having.keys()
    assert all(choices == list(table.NAMES) for choices in having.values()), having


@pytest.mark.parametrize("role", sorted(path.name for path in ROOT.glob("roles/*")))
def test_the_pages_that_list_roles_have_every_role(role: str) -> None:
    developer = (ROOT / "docs/developer.md").read_text(encoding="utf-8")
    assert f"[{role}](roles/{role}/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{role}` \|", developer, re.M)


def test_the_page_of_the_policy_has_every_engine() -> None:
    (meaning,) = re.findall(r"^\| `runners` \|.*\| (.*) \|$", POLICY, re.M)
    assert re.findall(r'`"(\w+)"`', meaning) == list(table.NAMES)
    assert {f"### {name}" for name in table.NAMES} <= set(POLICY.splitlines())


def test_the_page_for_researchers_has_a_column_for_every_engine() -> None:
    section = RESEARCHER.split("## The runners\n")[1].split("\n## ")[0]
    (head,) = re.findall(r"^\| \|(.*)\|$", section, re.M)
    assert {cell.strip() for cell in head.split("|")} == set(table.NAMES)


@pytest.mark.parametrize("engine", table.NAMES)
def test_the_playbook_applies_the_role_of_every_engine(engine: str) -> None:
    plays = yaml.safe_load((ROOT / "playbooks/backend.yml").read_text(encoding="utf-8"))
    roles = {role["role"]: role for play in plays for role in play.get("roles", ())}
    role = roles[f"tre.ces.{engine}"]
    allowed = f"'{engine}' in ces_runners | default(['podman'])"
    assert (role["tags"], role.get("when", allowed)) == ([engine], allowed)


def role_options() -> list[tuple[str, str]]:
    return [
        (path.parts[-3], name)
        for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
        for name in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"][
            "options"
        ]
    ]


@pytest.mark.parametrize(("role", "option"), role_options())
def test_the_page_for_administrators_has_every_variable(role: str, option: str) -> None:
    section = ADMINISTRATOR.split(f"### {role}\n")[1].split("\n## ")[0].split("\n### ")[0]
    assert f"`{option}`" in section


def test_the_page_for_administrators_has_the_defaults() -> None:
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| `([^`]+)` \|", ADMINISTRATOR, re.M))
    for path in sorted(ROOT.glob("roles/*/defaults/main.yml")):
        for name, default in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            # a role's variable that the playbook fills in has that in its place
            if not documented.get(name, "ces_").startswith("ces_"):
                assert yaml.safe_load(documented[name]) == default, name


@pytest.mark.parametrize("verb", VERBS)
def test_the_page_for_researchers_has_every_command(verb: str) -> None:
    assert f"ces-{verb}" in RESEARCHER


@pytest.mark.parametrize("verb", ["pull", "run"])
def test_the_page_for_researchers_has_every_option(verb: str) -> None:
    section = RESEARCHER.split(f"## Options of ces-{verb}\n")[1].split("\n## ")[0]
    documented = set(re.findall(r"`(--?[a-z-]+)", section))
    for option in VERBS[verb].options:
        if option.names[-1] not in ("--help", "--version", "--verbose"):
            assert option.names[-1] in documented


def test_the_page_for_researchers_has_every_check_of_an_image() -> None:
    section = RESEARCHER.split("## Will an image work\n")[1].split("\n## ")[0]
    documented = {name for cell in first_cells(section) for name in re.findall(r"`(\w+)`", cell)}
    assert documented == {row.name for row in (*image.ROWS, *image_files.ROWS)}


def test_the_page_for_researchers_has_what_apptainer_alone_cannot_do() -> None:
    runner = table.runner_named("apptainer")
    section = RESEARCHER.split("## The runners\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| (.+?) \| .* \| (.+?) \|$", section, re.M))
    kept_back = re.findall(r"`(\w+)`", rows["variables that cannot be given"])
    assert kept_back == list(runner.reserved)
    assert re.findall(r"`(\w+)`", rows["`--network`"]) == list(runner.networks)


@functools.cache
def sources(*patterns: str) -> str:
    """Text of source files, with the seams of strings closed that lie on several lines."""
    texts = [
        path.read_text(encoding="utf-8") for pattern in patterns for path in ROOT.glob(pattern)
    ]
    return re.sub(r"\s+", " ", re.sub(r'"\s+f?"', "", "\n".join(texts)))


def told(page: str) -> list[str]:
    """The messages that a page explains: literal parts of what is said."""
    table = page.split("## When something goes wrong")[1]
    return [
        message
        for cell in re.findall(r"^\| ([^|\n]+) \|", table, re.M)
        for message in re.findall(r"`([^`]+)`", cell)[:1]
    ]


def literal_parts(message: str) -> list[str]:
    """What stands around the placeholders of a message as a page has it."""
    return [part.strip() for part in re.split(r"HOST|/safe_data|\.\.\.|nfs4|\(\)", message)]


@pytest.mark.parametrize("message", told(RESEARCHER))
def test_messages_that_researchers_look_up_exist(message: str) -> None:
    system = ("Permission denied", "is already in use")  # the kernel's and podman's own
    text = sources("plugins/module_utils/ces/**/*.py")
    assert message in system or all(part in text for part in literal_parts(message))


@pytest.mark.parametrize("message", told(ADMINISTRATOR))
def test_messages_that_administrators_look_up_exist(message: str) -> None:
    text = sources("roles/*/tasks/*.yml", "roles/*/vars/*.yml", "plugins/module_utils/ces/**/*.py")
    assert all(part in text for part in literal_parts(message))


@pytest.mark.parametrize("message", told(WEB_FORM))
def test_messages_that_users_of_the_web_form_look_up_exist(message: str) -> None:
    apps = (f"roles/ood_apps/files/**/*.{kind}" for kind in ("rb", "erb", "sh"))
    # what ces-check answers is said in the form, too
    text = sources(*apps, "plugins/module_utils/ces/**/*.py")
    assert all(part in text for part in literal_parts(message))


NAMED_TEST = r"`(\w+)/([\w/]+\.py)::(test_\w+)`"


def promises() -> list[tuple[str, str]]:
    """Each promise, and the cell of the table that names its tests."""
    tables = PROMISES.split("## Secrets")[1].split("## What is not promised")[0]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", tables, re.M)
    return [row for row in rows if row != ("promise", "tests")]


def test_there_are_promises() -> None:
    assert len(promises()) > 40


@pytest.mark.parametrize(("promise", "tests"), promises(), ids=lambda text: text[:40])
def test_every_promise_names_tests_and_nothing_else(promise: str, tests: str) -> None:
    assert "`test_" not in promise
    assert re.fullmatch(rf"{NAMED_TEST}(, {NAMED_TEST})*", tests)


@functools.cache
def functions(path: Path) -> set[str]:
    """The functions of a module, outside classes."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    return {item.name for item in module.body if isinstance(item, ast.FunctionDef)}


@pytest.mark.parametrize(("place", "file", "name"), sorted(set(re.findall(NAMED_TEST, PROMISES))))
def test_every_test_that_holds_a_promise_exists(place: str, file: str, name: str) -> None:
    folders = dict(re.findall(r"^\| `(\w+)/` \| `([\w/]+)/` \|", PROMISES, re.M))
    assert name in functions(ROOT / folders[place] / file)


def test_the_page_for_contributors_has_every_target_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    documented = set(re.findall(r"^\| `make ([a-z-]+)", CONTRIBUTING, re.M))
    assert documented == targets - {"setup", "tools", "help"}


def test_the_page_for_contributors_has_every_scenario() -> None:
    section = CONTRIBUTING.split("| scenario |")[1].split("\n\n")[0]
    scenarios = {f"`{path.parent.name}`" for path in ROOT.glob("molecule/*/molecule.yml")}
    assert set(first_cells(section)) == scenarios


def test_the_page_for_contributors_has_the_targets_of_the_benchmark() -> None:
    section = CONTRIBUTING.split("## What we cost")[1].split("\n## ")[0]
    documented = dict(re.findall(r"^\| `([^`]+)` \| ([\d.]+) \|", section, re.M))
    rows = ast.parse((ROOT / "tests" / "bench" / "rows.py").read_text(encoding="utf-8"))
    (targets,) = [
        ast.literal_eval(node.value)
        for node in rows.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TARGETS"
    ]
    assert {name: float(target) for name, target in documented.items()} == targets
