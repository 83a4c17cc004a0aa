# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories of a run: which project's data, outputs and scratch, which may be mounted."""

from __future__ import annotations

import os

from ..errors import CesError, InvalidValue, NotFound, RefusedByPolicy
from ..typed import Iterator
from ..values.mounts import SAFE_DATA, Mount
from ..values.policy import Policy, SafeData
from ..values.spec import Directories
from .account import Account


def safe_data_mount(wanted: Directories, account: Account, policy: Policy) -> Mount:
    """The mount at ``/safe_data``: the caller's, else ``$HOME/safe_data``, else the project's.

    :raises CesError: no project, or several and none was chosen.
    """
    source = _safe_data(wanted, account, policy)
    if not os.access(source, os.R_OK | os.X_OK):
        raise CesError(
            f"use {source} as {SAFE_DATA}",
            said=f"{account.name} may not read it",
            hint="ask the data manager for access to the project",
        )
    access = "ro" if wanted.read_only else policy.safe_data.access
    return Mount(os.path.realpath(source), SAFE_DATA, access)


def _safe_data(wanted: Directories, account: Account, policy: Policy) -> str:
    if wanted.safe_data is not None:
        return allowed_directory(wanted.safe_data, "safe_data", account, policy)
    project = wanted.project or account.environ.get("CES_PROJECT")
    own = f"{account.home}/safe_data"
    if not project and os.path.isdir(own):
        return own
    projects = _projects(account.groups, policy.safe_data)
    if project:
        return _chosen(project, projects, account, policy.safe_data)
    if len(projects) == 1:
        return projects[0]
    if projects:
        names = ", ".join(sorted(os.path.basename(path) for path in projects))
        raise CesError(
            f"choose the project of {account.name}",
            said=f"there are several: {names}",
            hint="choose one with --project NAME (or CES_PROJECT)",
        )
    raise _no_project(account, policy.safe_data)


def _projects(groups: tuple[str, ...], safe_data: SafeData) -> list[str]:
    """Directories ``ROOT/P`` such that one of the groups is ``P`` or ``PREFIX-P``.

    The names are tried one by one: the root may not be listable, and may be an automount.
    """
    names = {name for group in groups for name in _project_names(group, safe_data.group_prefixes)}
    paths = (f"{safe_data.root}/{name}" for name in sorted(names))
    return [path for path in paths if os.path.isdir(path)]


def _project_names(group: str, prefixes: tuple[str, ...]) -> Iterator[str]:
    if group in (".", "..") or "/" in group:
        return
    yield group
    for position, char in enumerate(group):
        if char == "-" and group[position + 1 :] and (not prefixes or group[:position] in prefixes):
            yield group[position + 1 :]


def _chosen(project: str, projects: list[str], account: Account, safe_data: SafeData) -> str:
    if "/" in project or project in ("", ".", ".."):
        raise InvalidValue(
            "a project", project, "it is a name, not a path", "use --safe-data for a path"
        )
    path = f"{safe_data.root}/{project}"
    if path in projects:
        return path
    if not projects:
        raise _no_project(account, safe_data)
    raise CesError(
        f"use project {project!r}",
        said=f"{account.name} is in no group of that project, or {path} does not exist",
        hint=f"projects here: {', '.join(os.path.basename(path) for path in projects)}",
    )


def _no_project(account: Account, safe_data: SafeData) -> NotFound:
    return NotFound(
        f"find the project data of {account.name}",
        said=f"no directory in {safe_data.root} belongs to a group of {', '.join(account.groups)}",
        hint=f"make {account.home}/safe_data, or ask the data manager for a project's group",
    )


def chosen_directory(
    wanted: str | None, variable: str, what: str, account: Account, policy: Policy
) -> str | None:
    """A directory that the caller names by option or variable, or None."""
    path = wanted or account.environ.get(variable) or None
    return None if path is None else allowed_directory(path, what, account, policy)


def allowed_directory(path: str, what: str, account: Account, policy: Policy) -> str:
    """An absolute path below one of the policy's roots, with links resolved.

    :raises RefusedByPolicy: it lies elsewhere.
    """
    if path == "~" or path.startswith("~/"):
        path = account.home + path[1:]
    if not path.startswith("/"):
        path = os.path.join(os.getcwd(), path)
    real = os.path.realpath(path)
    for root in policy.mount_roots:
        top = os.path.realpath(account.home + root[1:] if root.startswith("~") else root)
        if real == top or real.startswith(top.rstrip("/") + "/"):
            return real
    raise RefusedByPolicy(
        f"use {path} as {what}",
        said=f"it lies outside what may be mounted here: {', '.join(policy.mount_roots)}",
        hint="use a directory below one of those, or the administrator adds it to mount_roots",
    )


def allowed_mount(mount: Mount, account: Account, policy: Policy) -> Mount:
    """A researcher's mount with its source resolved.

    :raises CesError: it lies outside the policy's roots, or is not there.
    """
    source = allowed_directory(mount.source, mount.target, account, policy)
    if not os.path.exists(source):
        raise NotFound(f"mount {mount.source}", said="it does not exist", hint="make it first")
    safe_data = os.path.realpath(policy.safe_data.root)
    read_only = policy.safe_data.access == "ro" and (source + "/").startswith(safe_data + "/")
    return Mount(source, mount.target, "ro" if read_only else mount.access)
