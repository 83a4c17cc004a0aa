# SPDX-License-Identifier: GPL-3.0-or-later
"""What the site's policy names, as a user finds it; and what earlier runs of the user left."""

from __future__ import annotations

import os

from ...dataclass import dataclass, field
from ...errors import CesError
from ...typed import Mapping
from ...values.policy import Policy
from ...values.record import LIVE
from ...values.spec import Directories
from ..account import LOCAL_DIRECTORIES, Account
from ..directories import projects_of, safe_data_mount
from ..disks import lost_disks
from ..files import read_json
from ..records import Records

_SOCKET = "/dev/log"
_RECORDS_MAX = 200
"""How many of the newest records are looked at."""


@dataclass(frozen=True)
class PolicyFile:
    """What is the same for all users.

    :param there: whether there is a policy file; ``error``: why it cannot be read, or ''.
    :param audited: whether somebody listens to what is to be audited.
    """

    there: bool
    error: str = ""
    audited: bool = True


@dataclass(frozen=True)
class Site:
    """One user's part of it.

    :param projects: names of the projects that the user may choose from.
    :param no_data: why a run without options would get no ``/safe_data``, or ''.
    :param stores: image stores for all users that the user cannot read, with what was said.
    :param unmade: directories that a role makes for each user, and did not for this one; by each,
        the role.
    :param dead: numbers of runs on this host whose process died.
    :param damaged: numbers of runs whose record cannot be read.
    """

    user: str
    projects: tuple[str, ...] = ()
    no_data: str = ""
    data_cure: str = ""
    stores: tuple[str, ...] = ()
    unmade: Mapping[str, str] = field(default_factory=dict)
    dead: tuple[int, ...] = ()
    damaged: tuple[int, ...] = ()


def look_at_policy(policy: Policy, error: str = "", socket: str = _SOCKET) -> PolicyFile:
    """Find it out.

    :param error: why ``policy`` is the built-in one.
    :param socket: where syslog listens, for tests.
    """
    return PolicyFile(os.path.exists(policy.origin), error, os.path.exists(socket))


def look_at_site(account: Account, policy: Policy) -> Site:
    """Find it out, as the user."""
    projects = projects_of(account.groups, policy.safe_data)
    no_data, cure = _no_data(account, policy)
    dead, damaged = _left_runs(Records(account.state), os.uname().nodename)
    return Site(
        user=account.name,
        projects=tuple(os.path.basename(path) for path in projects),
        no_data=no_data,
        data_cure=cure,
        stores=tuple(
            store
            for store in (policy.sif_dir, policy.bundle_dir)
            if store and not os.access(store, os.R_OK | os.X_OK)
        ),
        unmade=_unmade(account),
        dead=dead,
        damaged=damaged,
    )


def _no_data(account: Account, policy: Policy) -> tuple[str, str]:
    try:
        safe_data_mount(Directories(), account, policy)
    except CesError as error:
        return error.said or str(error), error.hint
    return "", ""


def _unmade(account: Account) -> dict[str, str]:
    found = {}
    for _variable, file, name in LOCAL_DIRECTORIES:
        try:
            root = read_json(file, "the place of engines' files")["storage_root"]
        except (CesError, KeyError, TypeError):
            continue
        directory = f"{root}/{account.uid}/{name}"
        # of a disk that is not mounted it is told that
        if account.uid != 0 and not os.path.isdir(directory) and root not in lost_disks():
            # the role has the name of its file
            found[directory] = os.path.basename(file).partition(".")[0]
    return found


def _left_runs(records: Records, host: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    dead, damaged = [], []
    for number in records.active()[-_RECORDS_MAX:]:
        try:
            if records.is_alive(number):
                continue
            record = records.load(number)
        except CesError:
            damaged.append(number)
            continue
        if record.host == host and record.state in LIVE and record.scheduler == "none":
            dead.append(number)
    return tuple(dead), tuple(damaged)
