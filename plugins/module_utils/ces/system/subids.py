# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a host that give subordinate ids away, who else writes them, and its accounts."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import time
from contextlib import ExitStack

from ..blocks import contextmanager
from ..dataclass import dataclass
from ..errors import Busy, CesError, NotFound
from ..typed import Callable, Iterable, Iterator, Mapping
from ..values.subid_history import Former, History
from ..values.subids import Entry, SubidTable, parse_number
from .files import LIST_MAX, explained, read_if_there, remove_quietly, write_atomic, write_new

KINDS = ("uid", "gid")
NOTES = "subordinate-ids.json"
"""The file's name, which the playbook backend has on the disk of users' images."""
NOTED = f"/var/lib/tre-ces/{NOTES}"
"""Where the module subid notes whose ids were whose, unless it is told of another place."""

_DEFAULTS = {
    "UID_MIN": 1000,
    "UID_MAX": 60000,
    "SUB_UID_MIN": 100000,
    "SUB_UID_MAX": 600100000,
    "SUB_GID_MIN": 100000,
    "SUB_GID_MAX": 600100000,
}
"""What shadow-utils take for a name that login.defs does not set (login.defs(5))."""


@dataclass(frozen=True)
class LoginDefs:
    """What ``login.defs`` says of ids."""

    values: Mapping[str, int]
    origin: str

    def __getitem__(self, name: str) -> int:
        return self.values[name]

    @classmethod
    def parse(cls, text: str, origin: str) -> LoginDefs:
        """Read the names that matter here; of several lines the last holds, as for shadow-utils.

        :raises CesError: a value is no number; shadow-utils would silently take the default.
        """
        values = dict(_DEFAULTS)
        for line in text.split("\n"):
            name, _blank, rest = line.strip().replace("\t", " ").partition(" ")
            if name not in values or not rest.strip():
                continue
            number = parse_number(rest.strip().strip('"'))
            if number is None:
                raise CesError(
                    f"read {name} in {origin}",
                    said=f"{rest.strip()!r} is no number",
                    hint="correct the line",
                )
            values[name] = number
        return cls(values, origin)


class NameService:
    """The accounts and groups of this host, from wherever its name service takes them."""

    def users(self) -> list[pwd.struct_passwd]:
        """All accounts that the name service lists; a directory (sssd) often lists none."""
        return pwd.getpwall()

    def user(self, name: str) -> pwd.struct_passwd | None:
        """One account, also one that is not listed."""
        try:
            return pwd.getpwnam(name)
        except KeyError:
            return None

    def user_of(self, uid: int) -> pwd.struct_passwd | None:
        """The account of a uid, also one that is not listed."""
        try:
            return pwd.getpwuid(uid)
        except (KeyError, OverflowError):
            return None

    def groups(self) -> list[grp.struct_group]:
        """All groups that the name service lists."""
        return grp.getgrall()

    def group(self, name: str) -> grp.struct_group | None:
        """One group, also one that is not listed."""
        try:
            return grp.getgrnam(name)
        except KeyError:
            return None


class SubidHost:
    """The files of one host.

    :param etc: the directory they are in.
    :param names: its accounts.
    :param patience: seconds to wait for who else writes these files.
    :param runtimes: where users' runtime directories are, each named by the uid.
    :param noted: the file in which we note whose ids were whose.
    """

    def __init__(
        self,
        etc: str = "/etc",
        names: NameService | None = None,
        patience: float = 60.0,
        runtimes: str = "/run/user",
        noted: str = NOTED,
    ) -> None:
        self.etc, self.runtimes, self.noted = etc, runtimes, noted
        self.names = names or NameService()
        self.patience = patience

    def path(self, kind: str) -> str:
        """The table of subordinate ``uid`` or ``gid``."""
        return f"{self.etc}/sub{kind}"

    def read(self, kind: str) -> str:
        """Text of a table; empty when there is none yet. Bytes that are no UTF-8 survive."""
        path = self.path(kind)
        if os.path.islink(path):
            raise CesError(
                f"use {path}",
                said="it is a symbolic link, and newuidmap and useradd refuse to follow it",
                hint="put a file in its place",
            )
        return _text(path, "utf-8")

    def write(self, kind: str, text: str) -> None:
        """Replace a table; everybody may read it, because rootless podman does so as the user."""
        write_atomic(self.path(kind), text, 0o644)

    def history(self) -> History:
        """What earlier runs noted."""
        return History.parse(read_if_there(self.noted, LIST_MAX))

    def handed_on(
        self,
        history: History,
        kind: str,
        table: SubidTable,
        lines: Mapping[str, Iterable[Entry]],
    ) -> list[Former]:
        """Lines of users whose ids were others', who have no line for them any more.

        :param lines: each user's, by name.
        """

        def has_them(one: Former) -> bool:
            account = self.names.user(one.owner)
            numbers = [str(account.pw_uid)] if account else []
            still = (e for name in (one.owner, *numbers) for e in by_owner.get(name, ()))
            return any(entry.ids.overlaps(one.entry.ids) for entry in still)

        former = history.former(kind, lines)
        by_owner = table.by_owner() if former else {}
        return [one for one in former if not has_them(one)]

    def note(self, history: History) -> None:
        """Note it for later runs."""
        with explained(f"write {self.noted}"):
            os.makedirs(os.path.dirname(self.noted), exist_ok=True)
        write_atomic(self.noted, str(history))

    def login_defs(self) -> LoginDefs:
        """``login.defs``, or its defaults when there is none."""
        path = f"{self.etc}/login.defs"
        return LoginDefs.parse(_text(path, "latin-1"), path)

    def source(self) -> str:
        """Who gives subordinate ids away here: ``files``, or another of nsswitch.conf's services.

        Read as shadow-utils do (``lib/nss.c``): the first ``subid:`` line that says something, and
        of it the first word only; the rest is never consulted.
        """
        for line in _text(f"{self.etc}/nsswitch.conf", "latin-1").split("\n"):
            words = line[6:].split()
            if line[:6].lower() == "subid:" and words:
                return words[0]
        return "files"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else (useradd, usermod, another task) from writing the tables.

        As shadow-utils do it and in their order: first the C library's lock on the password files
        (lckpwdf(3)), for which they wait 15 seconds and without which they would fail at once; then
        a lock file for each table.

        :raises Busy: somebody held one of them for too long.
        """
        deadline = time.monotonic() + self.patience
        with ExitStack() as stack:
            stack.enter_context(self._password_lock(deadline))
            for kind in KINDS:
                stack.enter_context(self._lock_file(f"{self.path(kind)}.lock", deadline))
            yield

    @contextmanager
    def _password_lock(self, deadline: float) -> Iterator[None]:
        path = f"{self.etc}/.pwd.lock"
        if os.geteuid() != 0 and not os.access(self.etc, os.W_OK):
            raise CesError(
                f"write in {self.etc}", said="only root may", hint="run this as root (become: true)"
            )
        with explained(f"lock {path}"):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            hint = "try again when no program is changing accounts here"
            self._wait(path, lambda: _posix_lock(descriptor), deadline, hint)
            yield
        finally:
            os.close(descriptor)  # gives the lock back

    @contextmanager
    def _lock_file(self, path: str, deadline: float) -> Iterator[None]:
        """A file with our process id, made by link(2), which fails when it exists (commonio.c)."""
        # named as shadow-utils name theirs
        mine = f"{path[: -len('.lock')]}.{os.getpid()}"
        with explained(f"lock {path}"):
            remove_quietly(mine)
            write_new(mine, f"{os.getpid()}\0")
        try:
            hint = f"try again; if no program is changing accounts here, remove {path}"
            self._wait(path, lambda: _link(mine, path), deadline, hint)
        finally:
            remove_quietly(mine)
        try:
            yield
        finally:
            remove_quietly(path)

    def _wait(self, path: str, attempt: Callable[[], bool], deadline: float, hint: str) -> None:
        with explained(f"lock {path}"):
            while not attempt():
                if time.monotonic() >= deadline:
                    raise Busy(
                        f"lock {path}",
                        said=f"{_holder(path)} held it for {self.patience:g} s",
                        hint=hint,
                    )
                time.sleep(0.05)


def _text(path: str, encoding: str) -> str:
    try:
        with explained(f"read {path}"), open(path, "rb") as stream:
            return stream.read().decode(encoding, "surrogateescape")
    except NotFound:
        return ""


def _posix_lock(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _link(mine: str, lock: str) -> bool:
    """Take the lock file; one that a dead process left is removed first, as shadow-utils do.

    Nobody else can take the one that we remove for stale: all do so holding the password lock.
    """
    try:
        os.link(mine, lock)
        return True
    except FileExistsError:
        pass
    holder = _pid(lock)
    if holder is not None and (holder == os.getpid() or not _lives(holder)):
        remove_quietly(lock)
    return False


def _pid(lock: str) -> int | None:
    """The process id in a lock file; None when there is none (a person's ``touch``)."""
    try:
        text = _text(lock, "latin-1").rstrip("\0\n ")
    except CesError:
        return None
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 2**31 else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _holder(path: str) -> str:
    pid = _pid(path)
    return f"process {pid}" if pid is not None else "somebody else"
