# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of configuration that hold for a user, in the order in which podman reads them."""

from __future__ import annotations

import os
import stat
import sys

from ..blocks import suppress
from ..typed import Iterable, Iterator, Sequence
from ..values.containers_conf import Setting, read_settings
from .account import Account
from .files import read_if_there

SYSTEM = ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf")

OVERRIDE = "CONTAINERS_CONF_OVERRIDE"
"""Names a file that is read after all of them; podman knows it since ``OVERRIDE_SINCE``."""
OVERRIDE_SINCE = (4, 5)
IN_PLACE = "CONTAINERS_CONF"
"""Names a file that is read in place of all of them."""
_REGISTRIES = "containers/registries.conf"


def configuration_files(account: Account, root: str = "") -> Iterator[str]:
    """Where podman looks; not all of them need be there.

    :param root: of the host, for tests.
    """
    given = account.environ.get(IN_PLACE, "")
    if given:
        yield given
        return
    yield from system_files(root)
    yield from _with_drop_ins(f"{_own(account)}/containers/containers.conf")


def system_files(root: str = "") -> Iterator[str]:
    """Those that hold for everybody."""
    for file in SYSTEM:
        yield from _with_drop_ins(f"{root}{file}")


def registries_files(account: Account, root: str = "") -> Iterator[str]:
    """The files of registries.conf; the user's own stands in place of the site's.

    :param root: of the host, for tests.
    """
    own = f"{_own(account)}/{_REGISTRIES}"
    site = f"{root}/etc/{_REGISTRIES}"
    given = account.environ.get("CONTAINERS_REGISTRIES_CONF", "")
    yield given or (own if os.path.exists(own) else site)
    yield from _drop_ins(site)
    yield from _drop_ins(own)


def toml_errors(files: Iterable[str]) -> list[str]:
    """What engines cannot read of these files, a sentence each.

    A file need not be there. Nothing is known of it before Python 3.11.
    """
    named = list(files)
    errors = odd_files(named)
    if sys.version_info >= (3, 11):
        from tomllib import loads

        for file in named:
            try:
                loads(read_if_there(file))
            except (ValueError, RecursionError) as error:
                errors.append(f"{file} cannot be read ({error})")
    return errors


def odd_files(files: Iterable[str]) -> list[str]:
    """What of these is there and no file, a sentence each: who opens a FIFO waits for ever."""
    odd = []
    for path in files:
        with suppress(OSError):
            # a device may be meant: /dev/null
            if stat.S_IFMT(os.stat(path).st_mode) in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR):
                odd.append(f"{path} is no file")
    return odd


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


def _own(account: Account) -> str:
    return account.environ.get("XDG_CONFIG_HOME") or f"{account.home}/.config"


def _with_drop_ins(file: str) -> Iterator[str]:
    yield file
    yield from _drop_ins(file)


def _drop_ins(file: str) -> Iterator[str]:
    return (name for name in listed(f"{file}.d") if name.endswith(".conf"))
