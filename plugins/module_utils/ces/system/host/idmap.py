# SPDX-License-Identifier: GPL-3.0-or-later
"""The subordinate ids that a user has by the host's tables, and those that podman works with."""

from __future__ import annotations

import pwd

from ...blocks import suppress
from ...dataclass import dataclass
from ...typed import Iterable, Mapping
from ...values.subids import Entry, IdRange, SubidTable
from ..files import read_if_there
from ..subids import KINDS, SubidHost
from ..trees import read_below

_PAUSE = "libpod/tmp/pause.pid"
"""In a user's runtime directory: the process that holds the namespace of all their containers."""
_NUMBER_MAX = 20
"""Bytes of a process's number."""


@dataclass(frozen=True)
class Ids:
    """One kind of a user's ids.

    :param own: the lines of the table that are the user's.
    :param shared: lines of others that give away some of the same ids.
    :param real: the ids of accounts or groups in the user's ranges, with their names.
    :param unclear: numbers of the table's lines that some programs cannot read.
    :param in_use: what podman's namespace has beside the user's own id; None where there is none.
    """

    own: tuple[Entry, ...] = ()
    shared: tuple[Entry, ...] = ()
    real: Mapping[int, str] | None = None
    unclear: tuple[int, ...] = ()
    in_use: tuple[IdRange, ...] | None = None


@dataclass(frozen=True)
class IdMap:
    """A user's ids.

    :param source: who gives them away, ``files`` or another service of nsswitch.conf.
    :param ids: by kind, ``uid`` and ``gid``.
    """

    user: str
    uid: int
    gid: int
    source: str
    ids: Mapping[str, Ids]

    def own_id(self, kind: str) -> int:
        """The user's own id of that kind."""
        return self.uid if kind == "uid" else self.gid


def look_at_ids(user: pwd.struct_passwd, runtime: str, host: SubidHost, root: str = "") -> IdMap:
    """Read the tables.

    :param runtime: the user's runtime directory, or '' where there is none.
    :param root: of the host, for tests.
    :raises CesError: a table cannot be read.
    """
    in_use = ids_in_use(runtime, root)
    real = {
        "uid": {one.pw_uid: one.pw_name for one in host.names.users()},
        "gid": {one.gr_gid: one.gr_name for one in host.names.groups()},
    }
    ids = {}
    for kind in KINDS:
        table = SubidTable.parse(host.read(kind))
        ids[kind] = _ids(table, user, real[kind], in_use[kind])
    return IdMap(user.pw_name, user.pw_uid, user.pw_gid, host.source(), ids)


def ids_in_use(runtime: str, root: str = "") -> dict[str, tuple[IdRange, ...] | None]:
    """What podman works with, by kind; None where it does not run.

    :param runtime: the user's runtime directory, or '' where there is none.
    """
    pause = ""
    # root looks here, too, in a directory of the user's
    with suppress(OSError, UnicodeDecodeError):
        pause = read_below(runtime, _PAUSE, _NUMBER_MAX).decode("ascii").strip() if runtime else ""
    if not pause.isdigit():
        return dict.fromkeys(KINDS)
    return {kind: _mapped(read_if_there(f"{root}/proc/{pause}/{kind}_map")) for kind in KINDS}


def _ids(
    table: SubidTable,
    user: pwd.struct_passwd,
    real: Mapping[int, str],
    in_use: tuple[IdRange, ...] | None,
) -> Ids:
    own = table.usable_by(user.pw_name, user.pw_uid)
    others = [entry for entry in table.in_force if entry.usable and entry not in own]
    return Ids(
        own=own,
        shared=tuple(one for one in others if any(one.ids.overlaps(mine.ids) for mine in own)),
        real={number: name for number, name in real.items() if _holds(own, number)},
        unclear=tuple(table.unknown),
        in_use=in_use,
    )


def _holds(entries: Iterable[Entry], number: int) -> bool:
    return any(entry.ids.start <= number <= entry.ids.last for entry in entries)


def _mapped(text: str) -> tuple[IdRange, ...] | None:
    """The ranges of a map (user_namespaces(7)) behind its first line, which is the user."""
    lines = [line.split() for line in text.splitlines()]
    if not lines or any(len(words) != 3 for words in lines):
        return None
    return tuple(sorted(IdRange(int(words[1]), int(words[2])) for words in lines[1:]))
