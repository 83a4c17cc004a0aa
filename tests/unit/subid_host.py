# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose tables of subordinate ids are as people leave them."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.tre.ces.plugins.module_utils.ces.services.subid_people import Selection
from ansible_collections.tre.ces.plugins.module_utils.ces.services.subids import (
    Outcome,
    Request,
    apply,
    plan,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.subids import (
    NameService,
    SubidHost,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.subids import (
    IdRange,
)

SECOND = IdRange(165536, 65536)


class Names(NameService):
    """Accounts of a test. ``hidden`` ones are found by name, but not listed (sssd)."""

    def __init__(
        self,
        users: dict[str, int],
        groups: Sequence[tuple[str, int, list[str]]] = (),
        primary: dict[str, int] | None = None,
        hidden: dict[str, int] | None = None,
    ) -> None:
        self.asked: list[object] = []
        self._primary = primary or {}
        self._users = {name: self._account(name, uid) for name, uid in users.items()}
        self._hidden = {name: self._account(name, uid) for name, uid in (hidden or {}).items()}
        self._groups = [grp.struct_group((name, "x", gid, who)) for name, gid, who in groups]

    def _account(self, name: str, uid: int) -> pwd.struct_passwd:
        gid = self._primary.get(name, 100)
        return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))

    def users(self) -> list[pwd.struct_passwd]:
        return list(self._users.values())

    def user(self, name: str) -> pwd.struct_passwd | None:
        self.asked.append(name)
        return self._users.get(name) or self._hidden.get(name)

    def user_of(self, uid: int) -> pwd.struct_passwd | None:
        self.asked.append(uid)
        everybody = [*self._users.values(), *self._hidden.values()]
        return next((user for user in everybody if user.pw_uid == uid), None)

    def groups(self) -> list[grp.struct_group]:
        return self._groups

    def group(self, name: str) -> grp.struct_group | None:
        return next((group for group in self._groups if group.gr_name == name), None)


PEOPLE = Names({"root": 0, "alice": 1000, "bob": 1001, "carol": 1002})


def host_with(
    etc: Path | str, subuid: str | None = None, subgid: str | None = None, names: Names = PEOPLE
) -> SubidHost:
    for name, text in (("subuid", subuid), ("subgid", subgid)):
        if text is not None:
            Path(etc, name).write_text(text, errors="surrogateescape")
    noted = f"{etc}/noted/subordinate-ids.json"
    return SubidHost(str(etc), names, 20, f"{etc}/run-user", noted)


def wanting(*names: str, **more: Any) -> Request:
    return Request(Selection(names), **more)


def tables(host: SubidHost) -> tuple[str, str]:
    return host.read("uid"), host.read("gid")


def four_times(request: Request, host: SubidHost) -> Outcome:
    """Check, real, check, real; the first outcome."""
    before = tables(host)
    names = sorted(os.listdir(host.etc))
    foreseen = plan(request, host)
    assert tables(host) == before
    assert sorted(os.listdir(host.etc)) == names
    assert apply(request, host) == foreseen
    after = tables(host)
    assert after == tuple(
        {change.kind: change.after for change in foreseen.changes}.get(kind, text)
        for kind, text in zip(("uid", "gid"), before)
    )
    for again in (plan(request, host), apply(request, host)):
        assert (again.changes, again.changed_users) == ((), ())
        assert again.ranges == foreseen.ranges
    assert tables(host) == after
    return foreseen
