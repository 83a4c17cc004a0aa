# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a user's podman keeps images and what it fetches, read from its files of configuration.

podman itself says it too, and takes as long for that as for starting two containers.
containers-storage.conf(5), containers.conf(5).
"""

from __future__ import annotations

import os

from ..typed import Iterator
from ..values.containers_conf import read_settings, words_in
from .account import OWN_STORAGE, Account
from .containers_conf import configuration_files, settings_of
from .files import read_if_there

_SITE = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
"""The first that is there counts."""
_OF_ROOT = "/var/lib/containers/storage"
_TEMPORARY = "/var/tmp"  # noqa: S108  podman's default
_BELOW_DATA = "containers/storage"


def podman_storage(account: Account, root: str = "") -> str:
    """The directory of the user's images.

    :param root: of the host, for tests.
    """
    own = f"{account.home}/{OWN_STORAGE}"
    if os.path.exists(own):
        named = _setting(own, "storage.graphroot")
    else:
        site = next((f"{root}{path}" for path in _SITE if os.path.exists(f"{root}{path}")), "")
        of_root = account.uid == 0
        key = "storage.graphroot" if of_root else "storage.rootless_storage_path"
        named = _setting(site, key) if site else ""
    if named:
        return _expanded(named, account)
    if account.uid == 0:
        return _OF_ROOT
    data = account.lasting_environ.get("XDG_DATA_HOME", "")
    return f"{data if data.startswith('/') else f'{account.home}/.local/share'}/{_BELOW_DATA}"


def podman_temporary(account: Account, root: str = "") -> str:
    """The directory in which podman keeps what it is fetching.

    :param root: of the host, for tests.
    """
    chosen = account.lasting_environ.get("TMPDIR", "")
    named = chosen or (list(_temporary(account, root)) or [""])[-1]
    if named == "storage":
        return os.path.join(podman_storage(account, root), "tmp")
    return named or _TEMPORARY


def _temporary(account: Account, root: str) -> Iterator[str]:
    for setting in settings_of(configuration_files(account, root)):
        if setting.key.casefold() == "engine.image_copy_tmp_dir":
            yield (words_in(setting.value) or [""])[0]


def _setting(file: str, key: str) -> str:
    found = [one.value for one in read_settings(read_if_there(file), file) if one.key == key]
    return (words_in(found[-1]) or [""])[0] if found else ""


def _expanded(path: str, account: Account) -> str:
    values = {"$HOME": account.home, "$USER": account.name, "$UID": str(account.uid)}
    for name, value in values.items():
        path = path.replace(name, value)
    return path
