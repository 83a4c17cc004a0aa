# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of containers.conf that hold for a user, in the order in which podman reads them."""

from __future__ import annotations

import os

from ..typed import Iterator, Sequence
from ..values.containers_conf import Setting, read_settings
from .account import Account
from .files import read_if_there

SYSTEM = ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf")

OVERRIDE = "CONTAINERS_CONF_OVERRIDE"
"""Names a file that is read after all of them; podman knows it since 4.5."""


def configuration_files(account: Account, root: str = "") -> Iterator[str]:
    """Where podman looks; not all of them need be there.

    :param root: of the host, for tests.
    """
    given = account.environ.get("CONTAINERS_CONF", "")
    if given:
        yield given
        return
    yield from system_files(root)
    own = account.environ.get("XDG_CONFIG_HOME") or f"{account.home}/.config"
    yield from _with_drop_ins(f"{own}/containers/containers.conf")


def system_files(root: str = "") -> Iterator[str]:
    """Those that hold for everybody."""
    for file in SYSTEM:
        yield from _with_drop_ins(f"{root}{file}")


def settings_of(files: Iterator[str] | Sequence[str]) -> Iterator[Setting]:
    """What all of these files say."""
    for file in files:
        yield from read_settings(read_if_there(file), file)


def listed(directory: str) -> list[str]:
    """The files in a directory, which need not be there, in order."""
    try:
        return [f"{directory}/{name}" for name in sorted(os.listdir(directory))]
    except OSError:
        return []


def _with_drop_ins(file: str) -> Iterator[str]:
    yield file
    yield from (name for name in listed(f"{file}.d") if name.endswith(".conf"))
