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

    :raises CesError: no project, or several and none was chosen; or it lies outside what may be
        mounted.
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
        # it may be a link to anywhere; that it leads to the data of projects is what it is for
        return allowed_directory(own, "safe_data", account, policy, (policy.safe_data.root,))
    projects = projects_of(account.groups, policy.safe_data)
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


def projects_of(groups: tuple[str, ...], safe_data: SafeData) -> list[str]:
    """Directories ``ROOT/P`` such that one of the groups is ``P`` or ``PREFIX-P``.

    The names are tried one by one: the root may not be listable, and may be an automount.
    """
    names = {name for group in groups for name in _project_names(group, safe_data.group_prefixes)}
    names -= {".", ".."}
    paths = (f"{safe_data.root}/{name}" for name in sorted(names))
    return [path for path in paths if os.path.isdir(path)]


def _project_names(group: str, prefixes: tuple[str, ...]) -> Iterator[str]:
    if "/" in group:
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
    """A directory that the caller names by option or variable, or None for a new one in the home.

    :raises RefusedByPolicy: it lies elsewhere, or where containers may only read.
    """
    path = wanted or account.environ.get(variable) or None
    real = allowed_directory(path, what, account, policy) if path else None
    _check_written(real or os.path.realpath(account.home), what, account, policy)
    return real


def check_home_directory(account: Account, policy: Policy) -> None:
    """Refuse ``$HOME``, which a run is to have, where it is no place for that.

    It may be any directory of the user's.

    :raises InvalidValue: an engine would take its name for two paths (apptainer's ``--home``).
    :raises RefusedByPolicy: it lies elsewhere, or where containers may only read.
    """
    if ":" in Mount(account.home, account.home).source:
        raise InvalidValue("a home directory", account.home, "it contains a colon")
    real = allowed_directory(account.home, "the home directory", account, policy, ("~",))
    _check_written(real, "the home directory", account, policy)


def _check_written(real: str, what: str, account: Account, policy: Policy) -> None:
    """
    :raises RefusedByPolicy: containers may only read there.
    """
    if _only_read(real, account, policy):
        raise RefusedByPolicy(
            f"use {real} for {what}",
            said="containers may only read there: this site has project data read-only",
            hint="use another directory",
        )


def allowed_directory(
    path: str, what: str, account: Account, policy: Policy, more: tuple[str, ...] = ()
) -> str:
    """An absolute path below one of the policy's roots, with links resolved.

    :param more: roots beside the policy's ``mount_roots``.
    :raises RefusedByPolicy: it lies elsewhere, or what must not be mounted as a whole lies in it.
    """
    if path == "~" or path.startswith("~/"):
        path = account.home + path[1:]
    if not path.startswith("/"):
        path = os.path.join(os.getcwd(), path)
    real, (entered, _home) = os.path.realpath(path), account.homes
    _check_whole(real, what, account, policy)
    for root in (*policy.mount_roots, *more):
        # the user chooses $HOME; what the site means is the account's
        if _is_inside(real, entered + root[1:] if root.startswith("~") else root):
            return real
    raise RefusedByPolicy(
        f"use {path} as {what}",
        said=f"it lies outside what may be mounted here: {', '.join(policy.mount_roots)}",
        hint="use a directory below one of those, or the administrator adds it to mount_roots",
    )


def _check_whole(real: str, what: str, account: Account, policy: Policy) -> None:
    """Refuse a directory with something in it that a mount of the whole would not be held to."""
    if any(_is_inside(home, real) for home in account.homes):
        policy.check_home()
    if _only_read(real, account, policy):
        return
    for place in map(os.path.realpath, _only_to_read(account, policy)):
        if os.path.isdir(place) and _is_inside(place, real):
            raise RefusedByPolicy(
                f"use {real} as {what}",
                said=f"in it is {place}, where containers may only read",
                hint="use a directory further down",
            )


def allowed_mount(mount: Mount, account: Account, policy: Policy) -> Mount:
    """A researcher's mount with its source resolved.

    :raises CesError: it lies outside the policy's roots, or is not there.
    """
    source = allowed_directory(mount.source, mount.target, account, policy)
    if not os.path.exists(source):
        raise NotFound(f"mount {mount.source}", said="it does not exist", hint="make it first")
    access = "ro" if _only_read(source, account, policy) else mount.access
    return Mount(source, mount.target, access)


def mounted_below(mount: Mount, table: str = "/proc/self/mountinfo") -> Iterator[Mount]:
    """What is mounted below a directory that is mounted read-only, as mounts that are so, too.

    Engines bring it along, and make only the directory itself read-only (mount(8), ``ro``).
    """
    if mount.access != "ro":
        return
    # most sites let containers write, and do not pay for loading it
    from .host.mounts import mounts

    top = mount.source.rstrip("/")
    for point in dict.fromkeys(there.point for there in mounts(table)):
        if point.startswith(f"{top}/") and os.path.exists(point):
            yield Mount(point, mount.target + point[len(top) :], "ro")


def _only_read(real: str, account: Account, policy: Policy) -> bool:
    """Whether a path lies in project data, and containers may only read these."""
    return any(_is_inside(real, place) for place in _only_to_read(account, policy))


def _only_to_read(account: Account, policy: Policy) -> list[str]:
    """Where project data are, if containers may only read these.

    They are in the root, where a project may be a link elsewhere, and in ``~/safe_data``.
    """
    if policy.safe_data.access != "ro":
        return []
    root = policy.safe_data.root
    return [root, *(f"{home}/safe_data" for home in account.homes), *_links_in(root)]


def _links_in(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_symlink()]
    except OSError:
        return []


def _is_inside(real: str, top: str) -> bool:
    """Whether a path with links resolved is a directory, or lies below it."""
    above = os.path.realpath(top).rstrip("/")
    return real == above or real.startswith(f"{above}/")
