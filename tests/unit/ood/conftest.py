# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of apps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ood_support import APPS, LARGE, ROOT, RUBY, SMALL, VERSIONS, Portal, pack_program


@pytest.fixture(scope="module", autouse=True)
def _ruby_ends() -> Iterator[None]:
    """Other tests of this process look for children that were left behind."""
    yield
    RUBY.end()


@pytest.fixture(scope="session")
def installed_apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All apps with what they share."""
    directory = tmp_path_factory.mktemp("apps")
    pack_program().main(ROOT, ["--to", str(directory), *APPS])
    return directory


@pytest.fixture
def portal(installed_apps: Path, tmp_path: Path) -> Portal:
    """It has a large and a small cluster."""
    return usual(Portal(installed_apps, tmp_path))


@pytest.fixture(params=VERSIONS)
def every_portal(portal: Portal, request: pytest.FixtureRequest) -> Portal:
    """The same of each version, for what is not the same in all of them."""
    portal.version = request.param
    return portal


@pytest.fixture(scope="session")
def any_portal(installed_apps: Path, tmp_path_factory: pytest.TempPathFactory) -> Portal:
    """The same, for tests that change nothing of it."""
    return usual(Portal(installed_apps, tmp_path_factory.mktemp("portal")))


@pytest.fixture(scope="session")
def forms(any_portal: Portal) -> dict[str, Any]:
    """Each app's form where there are two clusters, by name."""
    return {app: any_portal.form(app) for app in APPS}


def usual(portal: Portal) -> Portal:
    portal.has_cluster("large", LARGE)
    portal.has_cluster("small", SMALL)
    return portal
