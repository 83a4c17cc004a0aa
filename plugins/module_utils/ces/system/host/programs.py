# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines' programs on this host: where they are, and which versions."""

from __future__ import annotations

import os
import re
import shutil
import tempfile

from ...blocks import contextmanager
from ...dataclass import dataclass
from ...errors import CesError
from ...typed import Iterator, Mapping, Sequence
from ...values.command import Command
from ...values.policy import Policy
from ..account import OWN_STORAGE, Account
from ..missing import missing
from ..podman_places import podman_storage, storage_by_drop_ins, storage_by_one_file
from ..process import Process, Streams, last_lines
from .apptainer import installed

_NETWORKS = {"pasta": "pasta", "slirp4netns": "slirp4netns"}
"""Networks of podman that need a program of their own."""
_SECONDS = 5.0


@dataclass(frozen=True)
class Program:
    """One program.

    :param path: where it is, or '' where it is not on the engines' PATH; then ``missing`` says so,
        with ``cure``.
    :param version: as numbers; () where it did not say.
    :param complaint: what it said in place of its version, or ''.
    """

    name: str
    path: str = ""
    missing: str = ""
    cure: str = ""
    version: tuple[int, ...] = ()
    complaint: str = ""


@dataclass(frozen=True)
class Programs:
    """Those of the engines that the site allows.

    :param unknown: engines that the site allows and nobody here knows.
    :param engines: the programs of each engine.
    :param parts_missing: programs that apptainer starts and that are not there.
    :param networks: networks that the site allows and that podman has no program for.
    :param storage: where the user's images are to be, by the files of configuration.
    :param storage_said: what podman says of it: the place, or why it cannot use it; '' where it
        was not asked.
    """

    unknown: tuple[str, ...]
    engines: Mapping[str, tuple[Program, ...]]
    parts_missing: tuple[str, ...] = ()
    networks: Mapping[str, str] | None = None
    storage: str = ""
    storage_said: str = ""

    def one(self, name: str) -> Program | None:
        """The program of that name, if it is there."""
        found = (one for programs in self.engines.values() for one in programs)
        return next((one for one in found if one.name == name and one.path), None)


def look_at_programs(
    account: Account,
    policy: Policy,
    process: Process,
    known: Mapping[str, Sequence[str]],
    root: str = "",
) -> Programs:
    """Find them, and ask each for its version.

    :param known: the names of each engine's programs.
    :param root: of the host's configuration, for tests.
    """
    path = account.lasting_environ["PATH"]
    storage, said = podman_storage(account, root), ""
    with _session(account) as environ:
        engines = {
            name: tuple(_program(one, name, path, process, environ) for one in known[name])
            for name in policy.runners
            if name in known
        }
        if any(one.version for one in engines.get("podman", ())) and _is_unsure(account, root):
            said = _storage_said(account, storage, process, environ)
    parts: tuple[str, ...] = ()
    if any(one.version for one in engines.get("apptainer", ())):
        parts = tuple(installed(process).get("missing", ()))
    networks = {
        network: program
        for network, program in _NETWORKS.items()
        if "podman" in engines
        and network in policy.networks
        and not shutil.which(program, path=path)
    }
    unknown = tuple(name for name in policy.runners if name not in known)
    return Programs(unknown, engines, parts, networks, storage, said)


def _is_unsure(account: Account, root: str) -> bool:
    """Whether the versions of podman differ in where they take the user's storage to be."""
    if account.uid == 0 or os.path.exists(f"{account.home}/{OWN_STORAGE}"):
        return False
    return storage_by_one_file(account, root) != storage_by_drop_ins(account, root)


def _storage_said(
    account: Account, meant: str, process: Process, environ: Mapping[str, str]
) -> str:
    """What podman says of its storage; it takes as long as starting a container."""
    data = account.lasting_environ.get("XDG_DATA_HOME")
    asked = Command(
        ("podman", "info", "--format", "{{.Store.GraphRoot}}"),
        {**environ, **({"XDG_DATA_HOME": data} if data else {})},
        role="podman",
    )
    try:
        done = process.run(asked, Streams(timeout=_SECONDS))
    except CesError as error:
        return error.said
    # warnings stand before the error
    said = last_lines(done.stdout if done.ok else done.stderr, 1)
    # podman follows links
    return meant if os.path.realpath(said) == os.path.realpath(meant) else said


@contextmanager
def _session(account: Account) -> Iterator[Mapping[str, str]]:
    """Variables without which some do not even say their version: of a session, and of a home."""
    home = {} if os.path.isdir(account.home) else {"HOME": "/"}
    runtime = account.runtime_base_if_any
    if runtime:
        yield {"XDG_RUNTIME_DIR": runtime, **home}
        return
    with tempfile.TemporaryDirectory(prefix="ces-doctor-") as directory:
        yield {"XDG_RUNTIME_DIR": directory, **home}


def _program(
    name: str, role: str, path: str, process: Process, environ: Mapping[str, str]
) -> Program:
    found = shutil.which(name, path=path)
    if found is None:
        error = missing(f"use {name}", name, path, role)
        return Program(name, missing=error.said, cure=error.hint)
    try:
        done = process.run(Command((found, "--version"), environ), Streams(timeout=_SECONDS))
    except CesError as error:
        return Program(name, found, complaint=error.said)
    version = version_in(done.stdout)
    said = "" if done.ok and version else (done.stderr or done.stdout).strip()
    return Program(name, found, "", "", version, said or ("" if version else "it says no version"))


def version_in(text: str) -> tuple[int, ...]:
    """The first version in what a program says of itself; () if there is none."""
    match = re.search(r"\b(\d{1,5})\.(\d{1,5})(?:\.(\d{1,5}))?", text)
    return tuple(int(part) for part in match.groups() if part) if match else ()
