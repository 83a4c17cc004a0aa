# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the scenario, and who logs in on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from island import Traveller, make_key, start_ssh
from remote import Host, logged_in
from users import INVENTORY, TOP, User


@pytest.fixture(scope="session")
def hosts() -> Iterator[dict[str, Host]]:
    with logged_in(INVENTORY, TOP / "molecule/faults/tests/on_host") as found:
        yield found


@pytest.fixture(scope="session")
def portal(hosts: dict[str, Host]) -> Host:
    return hosts["portal"]


@pytest.fixture(scope="session")
def node(hosts: dict[str, Host]) -> Host:
    return hosts["node1"]


@pytest.fixture(scope="session")
def alice(portal: Host) -> User:
    return User.named("alice", portal)


@pytest.fixture(scope="session")
def bob(portal: Host) -> User:
    return User.named("bob", portal)


@pytest.fixture(scope="session")
def island(hosts: dict[str, Host]) -> Host:
    return hosts["island"]


@pytest.fixture(scope="session")
def carol(portal: Host, island: Host) -> Traveller:
    """A researcher who has done what the check says."""
    user = Traveller("carol", portal, island)
    make_key(user)
    # she is in no project
    user.there("mkdir -p safe_data").ok()
    user.here("ces-remote check").ok()
    return user


@pytest.fixture
def dave(portal: Host, island: Host) -> Iterator[Traveller]:
    """A user who has done nothing yet."""
    user = Traveller("dave", portal, island)
    yield user
    user.here("rm -f .ssh/id_ed25519*")


@pytest.fixture
def cut(carol: Traveller) -> Iterator[None]:
    """Whatever happens, the island is there again for the next."""
    yield
    start_ssh(carol)
