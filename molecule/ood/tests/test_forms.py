# SPDX-License-Identifier: GPL-3.0-or-later
"""A form that comes back, in a real browser: what was typed stays, whichever portal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import browser
from remote import Host
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select
from users import CLUSTERS, TOP, User

# what each of these gives is in tests/ood/portal.rb
VERSIONS = ("4.0", "4.1", "4.2")
DIRECTIVES = (TOP / "tests/ood/page.js").read_text()
IMAGE = "registry.example.org/project/image:1.0"
LARGER = {
    "metadata": {"title": "Larger"},
    "login": {"host": "node1"},
    "job": {"adapter": "slurm"},
    "custom": {"ces": {"max_cores": 8, "max_memory": 9, "max_gpus": 4, "order": 9}},
}


@pytest.fixture(scope="module")
def larger(portal: Host) -> Iterator[None]:
    """A cluster that is not the first one and allows more."""
    file = f"{CLUSTERS}/tre-larger.yml"
    portal.root(f"cat >{file}", stdin=json.dumps({"v2": LARGER}))
    yield
    portal.root(f"rm {file}")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with browser("127.0.0.1", tmp_path_factory.mktemp("profile")) as driver:
        yield driver


class Page:
    """The form of Run Batch Container, as a portal shows it with what was typed before."""

    def __init__(self, driver: webdriver.Chrome, html: str, file: Path) -> None:
        self.driver = driver
        file.write_text(f"{html}<script>{DIRECTIVES}</script>", "utf-8")
        driver.get(file.as_uri())

    def field(self, name: str) -> Any:
        return self.driver.find_element(By.ID, f"batch_connect_session_context_{name}")

    def choose(self, name: str, value: str) -> None:
        Select(self.field(name)).select_by_value(value)

    def label(self, name: str) -> str:
        script = "return document.querySelector(`label[for=${arguments[0].id}]`).textContent"
        return str(self.driver.execute_script(script, self.field(name)))

    def values(self) -> dict[str, str]:
        """What the browser would send."""
        script = "return Object.fromEntries(new FormData(document.querySelector('form')))"
        return dict(self.driver.execute_script(script))

    def complaints(self) -> list[str]:
        """The fields for which the browser would not send it."""
        script = "return [...document.querySelectorAll('form :invalid')].map(field => field.name)"
        return list(self.driver.execute_script(script))


@pytest.fixture(params=VERSIONS)
def shown(
    request: pytest.FixtureRequest,
    bob: User,
    chromium: webdriver.Chrome,
    larger: None,
    tmp_path: Path,
) -> Any:
    """Shows the form with values."""

    def show(**values: str) -> Page:
        wanted = {"page": "batch_container_app", "values": {"image": IMAGE, **values}}
        (html,) = bob.ask(wanted, version=request.param)
        return Page(chromium, html, tmp_path / "form.html")

    return show


TYPED = (
    # not the first runner, and what the first one hides
    {"cluster": "tre", "runner": "apptainer", "reuse_sif": "1", "gpus": "1", "cores": "1"},
    # at the limit of the first cluster, on one that allows more
    {"cluster": "tre-larger", "runner": "podman", "gpus": "2", "cores": "2", "memory": "1"},
    # at its own limit
    {"cluster": "tre-larger", "runner": "podman", "gpus": "4", "cores": "8", "memory": "9"},
)


@pytest.mark.parametrize("typed", TYPED, ids=("runner", "limit", "own-limit"))
def test_what_was_typed_stays_when_the_form_comes_back(shown: Any, typed: dict[str, str]) -> None:
    page = shown(**typed)
    sent = page.values()
    assert {name: sent.get(name) for name in typed} == typed
    assert page.complaints() == []


def test_what_was_typed_stays_when_another_cluster_is_chosen(shown: Any) -> None:
    page = shown(cluster="tre", runner="podman", gpus="2", cores="2", memory="1")
    assert page.label("cores") == "Cores, up to 2"
    page.choose("cluster", "tre-larger")
    assert page.label("cores") == "Cores, up to 8"
    sent = page.values()
    assert (sent["cores"], sent["memory"], sent["gpus"]) == ("2", "1", "2")
    # the browser says what is more than the cluster allows; what is hidden is nobody's concern
    page.choose("cluster", "tre-small")
    assert (page.label("cores"), page.values()["cores"]) == ("Cores, up to 1", "2")
    assert not page.field("gpus").is_displayed()
    assert page.complaints() == ["cores"]
    page.choose("cluster", "tre")
    assert page.field("gpus").is_displayed()
    assert (page.values()["gpus"], page.complaints()) == ("2", [])
