# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a user's podman keeps images and what it fetches, read from its files of configuration.

podman itself says it too, and takes as long for that as for starting two containers.
containers-storage.conf(5), containers.conf(5).
"""

from __future__ import annotations

import os

from ..typed import Iterable, Iterator, Sequence
from ..values.containers_conf import words_in
from .account import OWN_STORAGE, SIGNED, Account
from .containers_conf import configuration_files, listed, settings_of

_SITE = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
"""The first that is there counts."""
_OF_ROOT = "/var/lib/containers/storage"
_TEMPORARY = "/var/tmp"  # noqa: S108  podman's default
_BELOW_DATA = "containers/storage"
_FOR_ALL, _FOR_USERS = "storage.graphroot", "storage.rootless_storage_path"


def podman_storage(account: Account, root: str = "") -> str:
    """The directory of the user's images.

    :param root: of the host, for tests.
    """
    if any(_drop_ins(account, root)):
        return storage_by_drop_ins(account, root)
    return storage_by_one_file(account, root)


def storage_by_one_file(account: Account, root: str = "") -> str:
    """The same for podman up to 5.7, which reads one file.

    There ``rootless_storage_path`` of the site's file holds for users, and ``graphroot`` for root.

    :param root: of the host, for tests.
    """
    file = _main_file(account, root)
    for_all = account.uid == 0 or file == f"{account.home}/{OWN_STORAGE}"
    named = _settings([file]).get(_FOR_ALL if for_all else _FOR_USERS, "")
    return _place(account, named)


def storage_by_drop_ins(account: Account, root: str = "") -> str:
    """The same for podman 6, and for 5.8 of some distributions: it reads drop-in files, too.

    There ``graphroot`` holds for everybody, and ``rootless_storage_path`` where it is not set.

    :param root: of the host, for tests.
    """
    settings = settings_by_drop_ins(account, root)
    of_users = settings.get(_FOR_USERS, "") if account.uid != 0 else ""
    return _place(account, settings.get(_FOR_ALL, "") or of_users)


def settings_by_drop_ins(account: Account, root: str = "") -> dict[str, str]:
    """All that such a podman reads of storage.conf, by section and key.

    :param root: of the host, for tests.
    """
    return _settings([_main_file(account, root), *_drop_ins(account, root)])


def _main_file(account: Account, root: str) -> str:
    """The one that podman reads, or '' where there is none."""
    files = (f"{account.home}/{OWN_STORAGE}", *(f"{root}{path}" for path in _SITE))
    return next((file for file in files if os.path.exists(file)), "")


def _drop_ins(account: Account, root: str) -> Sequence[str]:
    """Drop-in files in the order in which they are read; of one name, the last one counts."""
    found: dict[str, str] = {}
    kind = "rootless" if account.uid != 0 else "rootful"
    for top in (f"{root}/usr/share/containers", f"{root}/etc/containers"):
        for directory in ("conf.d", f"{kind}.conf.d", f"{kind}.conf.d/{account.uid}"):
            found |= _by_name(f"{top}/storage.{directory}")
    found |= _by_name(f"{account.home}/{OWN_STORAGE}.d")
    return [found[name] for name in sorted(found)]


def _by_name(directory: str) -> dict[str, str]:
    files = (file for file in listed(directory) if file.endswith(".conf"))
    return {os.path.basename(file): file for file in files}


def _settings(files: Iterable[str]) -> dict[str, str]:
    """What the files say, the last of a key; of texts their first word."""
    return {
        setting.key: (words_in(setting.value) or [""])[0]
        for setting in settings_of([file for file in files if file])
    }


def _place(account: Account, named: str) -> str:
    """The directory with that name, or podman's own for this user."""
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


def _expanded(path: str, account: Account) -> str:
    # podman has the number with a sign: of 2^31 and more it makes a negative one
    uid = account.uid if account.uid < SIGNED else account.uid - (1 << 32)
    values = {"$HOME": account.home, "$USER": account.name, "$UID": str(uid)}
    for name, value in values.items():
        path = path.replace(name, value)
    return path
