# SPDX-License-Identifier: GPL-3.0-or-later
"""The CDI specifications that are installed on this host, as podman finds them.

Loaded only by what has to do with GPUs.
"""

from __future__ import annotations

import os
import re

from ..blocks import suppress
from ..dataclass import dataclass
from ..errors import CesError, RefusedByPolicy
from ..typed import Any, Iterator, Sequence
from ..values.cdi import Spec, parse_spec
from .account import Account
from .containers_conf import OVERRIDE, configuration_files, listed, settings_of
from .files import read_json, read_text

DIRECTORIES = ("/etc/cdi", "/var/run/cdi")
"""Where they are unless containers.conf says otherwise; of two alike the later one counts."""

OWNERS = (0,)
"""Whose a specification may be: it can put anything of the host into a container."""
_CONFIGURED = "engine.cdi_spec_dirs"


@dataclass(frozen=True)
class Installed:
    """What was found.

    :param specs: a device that several files have is in the one that counts alone.
    :param directories: where was looked.
    :param unreadable: a line for each file that could not be read, and why.
    """

    specs: tuple[Spec, ...]
    directories: tuple[str, ...]
    unreadable: tuple[str, ...] = ()

    def of(self, kind: str) -> tuple[Spec, ...]:
        """Those of one kind of device."""
        return tuple(spec for spec in self.specs if spec.kind == kind)


def installed(account: Account, root: str = "") -> Installed:
    """All specifications in the directories that podman looks in.

    :param root: of the host, for tests.
    :raises CesError: two files in one directory have a device of the same name: podman takes none;
        or one is not the administrator's.
    """
    directories = cdi_directories(account, root)
    found: list[tuple[int, Spec]] = []
    unreadable = []
    for rank, directory in enumerate(directories):
        _check_owner(f"{root}{directory}")
        for file in _files(f"{root}{directory}"):
            _check_owner(file)
            try:
                found.append((rank, parse_spec(_read(file), file)))
            except CesError as error:
                unreadable.append(error.said if file in error.said else f"{file}: {error.said}")
    return Installed(tuple(_without_hidden(found)), tuple(directories), tuple(unreadable))


def cdi_directories(account: Account, root: str = "") -> Sequence[str]:
    """``cdi_spec_dirs`` of the last of the files of containers.conf that sets it."""
    found: Sequence[str] = DIRECTORIES
    last = account.environ.get(OVERRIDE, "")
    for setting in settings_of([*configuration_files(account, root), *([last] if last else [])]):
        if setting.key.casefold() == _CONFIGURED:
            found = re.findall(r"[\"']([^\"']+)[\"']", setting.value) or found
    return found


def _check_owner(path: str) -> None:
    """Refuse what a user may write: it would mount what the policy does not let them mount.

    :raises RefusedByPolicy: naming it.
    """
    with suppress(OSError):
        status = os.stat(path)
        if status.st_uid not in OWNERS or status.st_mode & 0o022:
            raise RefusedByPolicy(
                f"use the CDI specification {path}",
                said="others than root may write it",
                hint="leave cdi_spec_dirs out of your own containers.conf",
            )


def _files(directory: str) -> list[str]:
    return [name for name in listed(directory) if name.endswith((".json", ".yaml", ".yml"))]


def _read(file: str) -> Any:
    if file.endswith(".json"):
        return read_json(file, "the CDI specification")
    # most runs with a GPU find JSON, which the role gpu writes
    from ..values.block_yaml import read_block_yaml

    return read_block_yaml(read_text(file, "the CDI specification"), file)


def _without_hidden(found: Sequence[tuple[int, Spec]]) -> Iterator[Spec]:
    """The specifications without the devices that another one takes the place of."""
    from ..dataclass import replace

    places: dict[tuple[str, str], tuple[int, str]] = {}
    for rank, spec in found:
        for name in spec.devices:
            before = places.get((spec.kind, name))
            if before is not None and before[0] == rank:
                raise CesError(
                    f"find the device {spec.kind}={name}",
                    said=f"both {before[1]} and {spec.file} have it",
                    hint="the administrator removes the older file: engines take neither",
                )
            places[spec.kind, name] = (rank, spec.file)
    for rank, spec in found:
        seen = {
            name: edits
            for name, edits in spec.devices.items()
            if places[spec.kind, name] == (rank, spec.file)
        }
        if seen:
            yield replace(spec, devices=seen)
