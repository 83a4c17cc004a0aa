# SPDX-License-Identifier: GPL-3.0-or-later
"""The CDI specifications that are installed on this host, as podman finds them.

Loaded only by what has to do with GPUs.
"""

from __future__ import annotations

import re

from ..dataclass import dataclass
from ..errors import CesError
from ..typed import Any, Iterator, Sequence
from ..values.cdi import Spec, parse_spec
from .account import Account
from .containers_conf import configuration_files, listed
from .files import read_json, read_text

DIRECTORIES = ("/etc/cdi", "/var/run/cdi")
"""Where they are unless containers.conf says otherwise; of two alike the later one counts."""

_CONFIGURED = re.compile(r"^\s*cdi_spec_dirs\s*=\s*\[([^\]]*)\]", re.MULTILINE)


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
    :raises CesError: two files in one directory have a device of the same name: podman takes none.
    """
    directories = cdi_directories(account, root)
    found: list[tuple[int, Spec]] = []
    unreadable = []
    for rank, directory in enumerate(directories):
        for file in _files(f"{root}{directory}"):
            try:
                found.append((rank, parse_spec(_read(file), file)))
            except CesError as error:
                unreadable.append(error.said if file in error.said else f"{file}: {error.said}")
    return Installed(tuple(_without_hidden(found)), tuple(directories), tuple(unreadable))


def cdi_directories(account: Account, root: str = "") -> Sequence[str]:
    """``cdi_spec_dirs`` of the last of the files of containers.conf that sets it."""
    found: Sequence[str] = DIRECTORIES
    for file in configuration_files(account, root):
        try:
            text = read_text(file, "the configuration")
        except CesError:  # podman will say what is wrong with it
            continue
        for match in _CONFIGURED.finditer(text):
            found = re.findall(r"[\"']([^\"']+)[\"']", match[1]) or found
    return found


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
