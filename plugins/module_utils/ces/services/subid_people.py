# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets subordinate ids, and which ids are real accounts' own."""

from __future__ import annotations

from pwd import struct_passwd

from ..dataclass import dataclass, replace
from ..errors import InvalidValue, NotFound
from ..system.subids import LoginDefs, NameService
from ..typed import Collection, Iterable, Mapping
from ..values.subid_owners import Account, Owners, is_number
from ..values.subid_report import capped, listed


@dataclass(frozen=True)
class Selection:
    """Which users: a list of names, a group, or the accounts in a range of uids.

    :param uid_min: without ``uid_max`` the range ends at ``UID_MAX`` of login.defs.
    :param uid_max: without ``uid_min`` the range starts at ``UID_MIN``.
    """

    names: tuple[str, ...] | None = None
    group: str | None = None
    uid_min: int | None = None
    uid_max: int | None = None


@dataclass(frozen=True)
class People:
    """The accounts of a host.

    :param selected: uid of each user that was asked for; None when there is no such account.
    :param uids: names of all real uids, likewise ``gids``.
    :param accounts: all that are known, by name.
    :param warnings: members of the group that are no accounts.
    """

    selected: Mapping[str, int | None]
    uids: Mapping[int, str]
    gids: Mapping[int, str]
    accounts: Mapping[str, Account]
    warnings: tuple[str, ...] = ()

    @classmethod
    def select(
        cls, selection: Selection, names: NameService, defs: LoginDefs, *, missing_is_error: bool
    ) -> People:
        """Look up who was asked for.

        :raises CesError: a named user (if that is an error) or the group is missing.
        """
        listing = {user.pw_name: user for user in names.users()}
        if selection.names is not None:
            found = _look_up(selection.names, listing, names)
            if missing_is_error:
                _refuse_missing(found)
            warnings: list[str] = []
        elif selection.group is not None:
            found, warnings = _members(selection.group, listing, names)
        else:
            found, warnings = _between(selection, listing, defs), []
        users = [*listing.values(), *(user for user in found.values() if user is not None)]
        groups = {group.gr_name: group.gr_gid for group in names.groups()}
        # an account's own group may have no entry
        gids = {user.pw_gid: f"primary group of {user.pw_name}" for user in users}
        gids.update((gid, name) for name, gid in groups.items())
        return cls(
            {name: user and user.pw_uid for name, user in found.items()},
            {user.pw_uid: user.pw_name for user in users},
            gids,
            {user.pw_name: _account(user, groups.get(user.pw_name)) for user in users},
            tuple(warnings),
        )

    def owners(self, keys: Collection[str], names: NameService) -> Owners:
        """Whose lines of these keys are.

        Where a login may be read as a number, the account with that number is looked up, and the
        other way round: a directory need not list them. Nobody else costs a look-up.
        """
        accounts = dict(self.accounts)
        for name, uid in self.selected.items():
            if uid is None or (str(uid) not in keys and not is_number(name)):
                continue
            group = names.group(name)
            accounts[name] = replace(accounts[name], group=group and group.gr_gid)
            _add(accounts, names.user(str(uid)))
        for name in filter(is_number, self.selected):
            _add(accounts, names.user_of(int(name)))
        return Owners(accounts.values())


def _add(accounts: dict[str, Account], user: struct_passwd | None) -> None:
    if user is not None:
        accounts.setdefault(user.pw_name, _account(user, None))


def _account(user: struct_passwd, group: int | None) -> Account:
    return Account(user.pw_name, user.pw_uid, user.pw_gid, group)


_Found = dict[str, "struct_passwd | None"]


def _look_up(
    wanted: Iterable[str], listing: Mapping[str, struct_passwd], names: NameService
) -> _Found:
    return {name: listing.get(name) or names.user(name) for name in wanted}


def _refuse_missing(found: _Found) -> None:
    missing = [name for name, user in found.items() if user is None]
    if missing:
        raise NotFound(
            f"give subordinate ids to {listed(missing, 20)}",
            said="there is no such account on this host; nothing was written",
            hint="create the accounts first (in check mode too: their uids decide about the "
            "ranges), or take the names off the list",
        )


def _members(
    name: str, listing: Mapping[str, struct_passwd], names: NameService
) -> tuple[_Found, list[str]]:
    """Members of a group, also those whose primary group it is, by uid."""
    group = names.group(name)
    if group is None:
        raise NotFound(
            f"find the members of the group {name}",
            said="there is no such group on this host",
            hint="create the group first, or correct its name",
        )
    primary = [user.pw_name for user in listing.values() if user.pw_gid == group.gr_gid]
    found = _look_up([*primary, *group.gr_mem], listing, names)
    warnings = [
        f"the group {name} lists {member!r}, but there is no such account: passed over"
        for member, user in found.items()
        if user is None
    ]
    return _by_uid(user for user in found.values() if user is not None), capped(warnings)


def _between(selection: Selection, listing: Mapping[str, struct_passwd], defs: LoginDefs) -> _Found:
    low = defs["UID_MIN"] if selection.uid_min is None else selection.uid_min
    high = defs["UID_MAX"] if selection.uid_max is None else selection.uid_max
    if low > high:
        raise InvalidValue("uid_min", low, f"it is above uid_max, which is {high}")
    return _by_uid(user for user in listing.values() if low <= user.pw_uid <= high)


def _by_uid(users: Iterable[struct_passwd]) -> _Found:
    return {user.pw_name: user for user in sorted(users, key=lambda u: (u.pw_uid, u.pw_name))}
