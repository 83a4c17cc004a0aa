# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a line of ``/etc/subuid`` or ``/etc/subgid`` is, by its first field: a login, or a uid.

A login may consist of digits, and be another account's uid. The line is then the login's: that is
what useradd and userdel take it for. newuidmap and newgidmap let the account with that uid map the
ids all the same, and podman does so. In subgid podman takes a number for the gid of the group that
has the user's name (libsubid's ``list_owner_ranges``); newgidmap takes it for the user's uid.
"""

from __future__ import annotations

from ..dataclass import dataclass
from ..typed import Iterable


@dataclass(frozen=True)
class Account:
    """What of an account decides about its lines.

    :param gid: its primary group.
    :param group: the gid of the group that has the same name, if there is one.
    """

    name: str
    uid: int
    gid: int
    group: int | None = None


class Owners:
    """The accounts of a host, by what a line may call them."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._named = {account.name: account for account in accounts}
        self._numbered: dict[str, Account] = {}
        for account in self._named.values():
            self._numbered.setdefault(str(account.uid), account)

    def of(self, key: str) -> Account | None:
        """The account that a line of this key is for."""
        return self._named.get(key) or self._numbered.get(key)

    def intruder(self, key: str) -> Account | None:
        """The other account that may use a line of this login, because the login is its uid."""
        named, numbered = self._named.get(key), self._numbered.get(key)
        return numbered if named and numbered and named.uid != numbered.uid else None

    def is_own_uid(self, key: str) -> bool:
        """Whether a login is the uid of the same account: podman takes its lines twice."""
        return key in self._named and str(self._named[key].uid) == key

    def keys(self, name: str, uid: int | None) -> tuple[str, ...]:
        """The keys of an account's lines."""
        mine = (name, *(() if uid is None or str(uid) in self._named else (str(uid),)))
        # a name that is no account may be the uid of one
        return mine if uid is not None or name not in self._numbered else ()

    def is_right(self, kind: str, name: str, key: str) -> bool:
        """Whether all programs take a line of this key for the user's and nobody else's."""
        if key == name:
            return self.intruder(key) is None
        account = self._named[name]
        if key != str(account.uid) or key in self._named:
            return False
        return kind == "uid" or account.group == account.uid

    def key(self, kind: str, name: str) -> str:
        """The key for a new line of a user."""
        keys = (name, str(self._named[name].uid))
        return next((key for key in keys if self.is_right(kind, name, key)), name)


def is_number(name: str) -> bool:
    """Whether a login reads like a uid."""
    return name.isascii() and name.isdigit() and (name == "0" or name[0] != "0")
